"""What a model can do to a folder, and what it cannot."""

import os
import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from toolservers import paths
from toolservers.files import create

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["kernel", "walk"])
def resolution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test with the kernel's resolution where there is one, and with the portable one."""
    if request.param == "walk":
        monkeypatch.setattr(paths, "_kernel_resolves", lambda: False)
    return request.param


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src" / "main.py").write_text("import os\n\nprint(os.name)\n")
    (root / "README.md").write_text("Hello\n")
    return root


async def call(client: Client, tool: str, **arguments: object):
    with anyio.fail_after(30):
        return await client.call_tool(tool, arguments)


async def text_of(client: Client, tool: str, **arguments: object) -> str:
    answer = await call(client, tool, **arguments)
    assert not answer.is_error, answer.content[0].text
    return answer.content[0].text


async def error_of(client: Client, tool: str, **arguments: object) -> str:
    answer = await call(client, tool, **arguments)
    assert answer.is_error
    return answer.content[0].text


def serve(root: Path, *, write: bool = True) -> Client:
    return Client(create(root=str(root), write=write))


async def test_without_the_grant_there_are_no_tools_that_change_anything(folder: Path):
    async with serve(folder, write=False) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["list", "read", "search"]
        assert "Unknown tool" in await error_of(client, "write", path="x", content="x")
    assert not (folder / "x").exists()


async def test_annotations_tell_readers_from_writers(folder: Path):
    async with serve(folder) as client:
        tools = (await client.list_tools()).tools

    hints = {tool.name: tool.annotations for tool in tools if tool.annotations}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == {"list", "read", "search"}
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"write", "edit"}
    assert {name for name, hint in hints.items() if not hint.idempotent_hint} == {"edit"}


async def test_listing_shows_folders_files_and_links_to_the_depth_asked_for(folder: Path, resolution: str):
    (folder / "link").symlink_to("README.md")

    async with serve(folder) as client:
        assert await text_of(client, "list") == "README.md  6\nlink@\nsrc/"
        assert await text_of(client, "list", depth=2) == "README.md  6\nlink@\nsrc/\nsrc/main.py  26"
        assert await text_of(client, "list", path="src") == "src/main.py  26"
        assert "There is no 'nowhere'" in await error_of(client, "list", path="nowhere")


async def test_reading_gives_lines_verbatim_and_says_how_to_go_on(folder: Path, resolution: str):
    async with serve(folder) as client:
        whole = await text_of(client, "read", path="src/main.py")
        part = await text_of(client, "read", path="src/main.py", start=2, lines=1)

    assert whole == "<<< src/main.py:1-3 | 3 lines\nimport os\n\nprint(os.name)\n>>>"
    assert part == "<<< src/main.py:2-2 | 3 lines\n\n>>>\nNext: start=3"


async def test_what_cannot_be_read_as_text_is_refused(folder: Path):
    (folder / "blob").write_bytes(b"a\0b")
    os.mkfifo(folder / "pipe")

    async with serve(folder) as client:
        assert "is a binary file of 3 bytes" in await error_of(client, "read", path="blob")
        assert "is not a file" in await error_of(client, "read", path="pipe")
        assert "is a folder" in await error_of(client, "read", path="src")
        assert "There is no 'x.txt'" in await error_of(client, "read", path="x.txt")
        assert "has 1 lines" in await error_of(client, "read", path="README.md", start=5)


async def test_searching_takes_the_pattern_literally(folder: Path):
    (folder / "re.txt").write_text("a.c\nabc\n(a+)+$\n")

    async with serve(folder) as client:
        assert await text_of(client, "search", pattern="a.c") == "re.txt:1: a.c"
        assert await text_of(client, "search", pattern="(a+)+$") == "re.txt:3: (a+)+$"
        assert await text_of(client, "search", pattern="PRINT") == "No line matches."
        assert (
            await text_of(client, "search", pattern="PRINT", ignore_case=True)
            == "src/main.py:3: print(os.name)"
        )
        assert await text_of(client, "search", pattern="a", names="*.md") == "No line matches."
        assert "Cut after 1 lines" in await text_of(client, "search", pattern="a", limit=1)
        assert (
            await text_of(client, "search", pattern="os", path="src/main.py", limit=1) != "No line matches."
        )
        assert "There is no 'gone'" in await error_of(client, "search", pattern="a", path="gone")


async def test_writing_makes_folders_and_replaces_whole_files(folder: Path, resolution: str):
    (folder / "README.md").chmod(0o640)

    async with serve(folder) as client:
        assert (
            await text_of(client, "write", path="a/b/c.txt", content="ü\r\n")
            == "Created a/b/c.txt (4 bytes)."
        )
        assert (
            await text_of(client, "write", path="README.md", content="Bye") == "Replaced README.md (3 bytes)."
        )

    assert (folder / "a" / "b" / "c.txt").read_bytes() == "ü\r\n".encode()
    assert (folder / "README.md").read_text() == "Bye"
    assert (folder / "README.md").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ["README.md", "a", "src"]


async def test_editing_needs_a_text_that_occurs_once(folder: Path):
    async with serve(folder) as client:
        assert "occurs 3 times" in await error_of(client, "edit", path="src/main.py", old="o", new="")
        assert "occurs 0 times" in await error_of(client, "edit", path="src/main.py", old="xyz", new="")
        assert "old is empty" in await error_of(client, "edit", path="src/main.py", old="", new="x")
        done = await text_of(client, "edit", path="src/main.py", old="print(os.name)", new="print(1)")

    assert done == "Edited src/main.py at line 3."
    assert (folder / "src" / "main.py").read_text() == "import os\n\nprint(1)\n"


async def test_editing_keeps_line_ends_and_bytes_that_are_not_text(folder: Path):
    (folder / "mixed.txt").write_bytes(b"one\r\ntwo\r\n\xff\r\n")

    async with serve(folder) as client:
        await text_of(client, "edit", path="mixed.txt", old="one\ntwo", new="1\n2")

    assert (folder / "mixed.txt").read_bytes() == b"1\r\n2\r\n\xff\r\n"


async def test_edits_at_the_same_time_all_arrive(folder: Path):
    (folder / "list.txt").write_text("".join(f"<{n}>\n" for n in range(40)))

    async with serve(folder) as client, anyio.create_task_group() as tasks:
        for n in range(40):
            tasks.start_soon(lambda n=n: call(client, "edit", path="list.txt", old=f"<{n}>", new=f"[{n}]"))

    assert (folder / "list.txt").read_text() == "".join(f"[{n}]\n" for n in range(40))


OUTSIDE = [
    "../secret.txt",
    "src/../../secret.txt",
    "/etc/hosts",
    "out/secret.txt",
    "link.txt",
    "chain/secret.txt",
    "a\0b",
]


@pytest.mark.parametrize("path", [*OUTSIDE, "\ud800", "x" * 5000, "proc/self/root/etc/hosts"])
async def test_no_tool_leaves_the_folder(folder: Path, path: str, resolution: str):
    secret = folder.parent / "secret.txt"
    secret.write_text("swordfish")
    (folder / "out").symlink_to(folder.parent)
    (folder / "chain").symlink_to("out")
    (folder / "link.txt").symlink_to(secret)
    (folder / "proc").symlink_to("/proc")

    async with serve(folder) as client:
        for tool, arguments in {
            "read": {},
            "list": {},
            "write": {"content": "gotcha"},
            "edit": {"old": "swordfish", "new": "gotcha"},
        }.items():
            assert "swordfish" not in await error_of(client, tool, path=path, **arguments)
        answer = await call(client, "search", pattern="swordfish", path=path)
        assert "No line matches." in answer.content[0].text or answer.is_error
        assert await text_of(client, "search", pattern="swordfish") == "No line matches."

    assert secret.read_text() == "swordfish"
    assert sorted(os.listdir(folder.parent)) == ["root", "secret.txt"]


@pytest.mark.parametrize("parent", ["out", "out/deeper", "../beside"])
async def test_nothing_is_made_through_a_link_that_leaves(folder: Path, parent: str, resolution: str):
    (folder / "out").symlink_to(folder.parent)

    async with serve(folder) as client:
        await error_of(client, "write", path=f"{parent}/new.txt", content="gotcha")

    assert os.listdir(folder.parent) == ["root"]


async def test_a_link_is_not_overwritten(folder: Path, resolution: str):
    (folder / "link").symlink_to("README.md")

    async with serve(folder) as client:
        assert "is a link" in await error_of(client, "write", path="link", content="x")

    assert (folder / "README.md").read_text() == "Hello\n"


async def test_the_folder_may_itself_be_reached_by_a_link(folder: Path):
    (folder.parent / "alias").symlink_to(folder)

    async with Client(create(base=folder.parent, root="alias")) as client:
        assert "Hello" in await text_of(client, "read", path="README.md")


async def test_wrong_options_are_refused_with_a_sentence(folder: Path):
    with pytest.raises(ValueError, match="does not exist"):
        create(base=folder, root="nowhere")
    with pytest.raises(ValueError, match="write must be true or false"):
        create(base=folder, write="yes")  # pyright: ignore[reportArgumentType]


async def test_it_runs_over_stdio(folder: Path):
    command = ["-m", "toolservers.files", "--root", str(folder), "--write"]
    server = StdioServerParameters(command=sys.executable, args=command, cwd=Path(__file__).parents[2])

    with anyio.fail_after(60):
        async with Client(server) as client:
            await text_of(client, "write", path="new.txt", content="made")

    assert (folder / "new.txt").read_text() == "made"
