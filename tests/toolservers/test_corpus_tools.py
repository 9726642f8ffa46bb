"""What a model sees of the corpus, through a client."""

import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, StdioServerParameters

from toolservers.corpus import create

pytestmark = pytest.mark.anyio

TURN = '''"""Turns."""


def take_turn(agent, window):
    """Asks the model once and runs the tools it calls."""
    return agent.ask(window)


class TokenBucket:
    """Limits how often something may happen."""

    def refillTokens(self, elapsed):
        self.level = min(self.capacity, self.level + elapsed)
'''
GUIDE = """# Guide

Welcome to the guide of the machine.

## Cooling

The reactor is cooled with liquid sodium. Pumps move the coolant through the primary loop, and a heat
exchanger hands the energy to the water of the secondary loop.

## Storage

Spent fuel rests in a deep pool for ten years, then in dry casks on the yard behind the plant.
"""


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "loop").mkdir(parents=True)
    (root / "loop" / "turn.py").write_text(TURN)
    (root / "guide.md").write_text(GUIDE)
    (root / "notes.txt").write_text(
        "Bread needs flour, water, salt and yeast.\n\nLet the dough rest overnight.\n"
    )
    return root


def serve(root: Path, **options: object):
    options = {"cache": ":memory:", "refresh_seconds": 0.0, **options}
    return Client(create(root=str(root), **options))  # pyright: ignore[reportArgumentType]


async def call(client: Client, tool: str, **arguments: object):
    with anyio.fail_after(30):
        return await client.call_tool(tool, arguments)


async def text_of(client: Client, tool: str, **arguments: object) -> str:
    answer = await call(client, tool, **arguments)
    assert not answer.is_error, answer.content[0].text
    return answer.content[0].text


async def passages(client: Client, query: str, **arguments: object) -> list[dict]:
    return (await call(client, "search", query=query, **arguments)).structured_content["passages"]


async def error_of(client: Client, tool: str, **arguments: object) -> str:
    answer = await call(client, tool, **arguments)
    assert answer.is_error
    return answer.content[0].text


async def test_a_question_in_plain_words_finds_its_passage_first(folder: Path):
    async with serve(folder) as client:
        found = await passages(client, "How is the reactor being cooled?")

    assert (found[0]["source"], found[0]["title"]) == ("guide.md", "Cooling")


async def test_the_text_of_a_search_is_one_block_for_each_passage(folder: Path):
    async with serve(folder) as client:
        answer = await call(client, "search", query="yeast")

    (passage,) = answer.structured_content["passages"]
    head = f"<<< notes.txt:1-3 | notes.txt | score {passage['score']:.2f}"
    body = "Bread needs flour, water, salt and yeast.\n\nLet the dough rest overnight."
    assert answer.content[0].text == f"{head}\n{body}\n>>>"


@pytest.mark.parametrize(
    "query",
    [
        "take_turn",
        "take turn",
        "takeTurn",
        "TAKE_TURN()",
        "refillTokens",
        "refill",
        "refill_tokens",
        "TokenBucket",
    ]
    + ["token bucket", "loop/turn.py", "taking turns"],
)
async def test_names_are_found_whole_and_by_their_parts(folder: Path, query: str):
    async with serve(folder) as client:
        found = await passages(client, query)

    assert found[0]["source"] == "loop/turn.py"


async def test_every_locator_names_exactly_the_lines_of_its_passage(folder: Path):
    async with serve(folder) as client:
        found = [
            one
            for query in ("coolant", "fuel", "turn", "tokens", "bread")
            for one in await passages(client, query)
        ]

    assert found
    for one in found:
        path, _, lines = one["locator"].partition(":")
        start, stop = map(int, lines.split("-"))
        assert one["text"] == "\n".join((folder / path).read_text().split("\n")[start - 1 : stop])


async def test_a_query_without_an_answer_says_what_to_try(folder: Path):
    async with serve(folder) as client:
        text = await text_of(client, "search", query="zymurgy")

    assert text.startswith("No passages match. Try")


async def test_no_more_than_three_passages_come_from_one_file(folder: Path):
    (folder / "long.md").write_text(
        "".join(f"# Part {n}\n\n{'walrus and carpenter ' * 40}{n}\n\n" for n in range(20))
    )
    (folder / "short.txt").write_text("One walrus.")

    async with serve(folder) as client:
        found = await passages(client, "walrus", limit=10)

    assert [one["source"] for one in found].count("long.md") == 3
    assert "short.txt" in {one["source"] for one in found}


async def test_copies_of_a_passage_are_shown_once(folder: Path):
    for name in ("a", "b", "c"):
        (folder / name).mkdir()
        (folder / name / "vendored.txt").write_text("The gyroscope wobbles at dawn.")

    async with serve(folder) as client:
        assert len(await passages(client, "gyroscope")) == 1


async def test_changed_and_deleted_files_are_seen_at_the_next_search(folder: Path):
    async with serve(folder) as client:
        assert await passages(client, "yeast")
        (folder / "notes.txt").write_text("Nothing but an umbrella.\n")
        (folder / "guide.md").unlink()

        assert await passages(client, "yeast") == []
        assert await passages(client, "reactor") == []
        assert [one["source"] for one in await passages(client, "umbrella")] == ["notes.txt"]


async def test_hidden_binary_minified_and_foreign_files_are_left_out(folder: Path):
    for path in (
        ".git/config.txt",
        "node_modules/x.js",
        "lib/__pycache__/x.py",
        ".env.txt",
        "a.min.js",
        "env1/x.py",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("zeppelin = 1")
    (folder / "env1" / "pyvenv.cfg").write_text("zeppelin")
    (folder / "blob.txt").write_bytes(b"zeppelin \0 zeppelin")
    (folder / "squeezed.js").write_text("zeppelin(1);" * 1000)
    (folder / "large.txt").write_text("zeppelin " * 1000)

    async with serve(folder, max_file_bytes=5000) as client:
        assert await passages(client, "zeppelin") == []
        assert (await call(client, "outline")).structured_content["files"] == 3
        assert "There is no '.env.txt'" in await error_of(client, "read", locator=".env.txt")


async def test_globs_choose_what_belongs_to_the_corpus(folder: Path):
    (folder / "data.special").write_text("The zeppelin lands.")

    async with serve(folder, include=["*.special", "loop/**/*.py"], exclude="turn*") as client:
        assert (await call(client, "outline")).structured_content["files"] == 1
        assert len(await passages(client, "zeppelin")) == 1


async def test_html_is_read_as_its_text_on_the_lines_of_the_file(folder: Path):
    page = [
        "<html><head><title>T</title><style>.hippo {}</style>",
        "<script>let hippo = 1;",
        "</script></head><body>",
        "<h1>River &amp; lake</h1>",
        "",
        "<p>The hippo&#10;sleeps",
        "in <b>cool</b> water.</p><table><tr><td>one</td><td>two</td></tr></table>",
        "<![broken>",
    ]
    (folder / "page.html").write_text("\n".join(page))

    async with serve(folder) as client:
        (found,) = await passages(client, "hippo")
        whole = (await call(client, "read", locator="page.html:4-7")).structured_content["text"]

    assert (found["title"], found["locator"]) == ("River & lake", "page.html:1-7")
    assert whole == "River & lake\n\nThe hippo sleeps\nin cool water. one two"


async def test_reading_gives_the_lines_of_the_locator_and_those_around(folder: Path):
    lines = (folder / "loop" / "turn.py").read_text().split("\n")
    async with serve(folder) as client:
        one = await text_of(client, "read", locator="loop/turn.py:4")
        around = (await call(client, "read", locator="./loop/turn.py:4-6", context=2)).structured_content

    assert one == f"<<< loop/turn.py:4-4 | take_turn\n{lines[3]}\n>>>"
    assert (around["locator"], around["text"]) == ("loop/turn.py:2-8", "\n".join(lines[1:8]))


async def test_reading_a_long_file_stops_and_says_where_to_go_on(folder: Path):
    (folder / "long.txt").write_text("\n".join(f"line {n}" for n in range(1, 1001)))

    async with serve(folder) as client:
        answer = await call(client, "read", locator="long.txt")
        following = await call(client, "read", locator=answer.structured_content["next"])

    assert answer.content[0].text.endswith(
        ">>>\nCut after 400 lines; the file has 1000 lines. Next: long.txt:401-1000"
    )
    assert following.structured_content["text"].startswith("line 401\n")


async def test_reading_an_endless_line_stops_inside_it(folder: Path):
    (folder / "wide.txt").write_text("ü" * 100_000)

    async with serve(folder) as client:
        read = await call(client, "read", locator="wide.txt")

    assert len(read.structured_content["text"].encode()) <= 32 * 1024
    assert "Cut inside line 1" in read.content[0].text


async def test_an_unknown_locator_suggests_the_nearest_ones(folder: Path):
    async with serve(folder) as client:
        assert "Did you mean loop/turn.py?" in await error_of(client, "read", locator="loop/turns.py:3-4")
        assert "Did you mean loop/turn.py?" in await error_of(client, "read", locator="turn.py")
        assert "has 4 lines" in await error_of(client, "read", locator="notes.txt:9")
        assert "notes.txt:1-3" in await error_of(client, "read", locator="notes.txt:3-1")


async def test_a_file_named_like_a_range_is_found_by_its_name(folder: Path):
    (folder / "odd:1-2.txt").write_text("first")
    (folder / "odd.txt:7").mkdir()

    async with serve(folder) as client:
        assert "first" in await text_of(client, "read", locator="odd:1-2.txt")


@pytest.mark.parametrize(
    "path", ["../secret.txt", "/etc/passwd", "loop/../../secret.txt", "a\0b", "link.txt", "out/secret.txt"]
)
async def test_nothing_outside_the_folder_can_be_read_or_found(folder: Path, path: str):
    secret = folder.parent / "secret.txt"
    secret.write_text("The swordfish password.")
    (folder / "link.txt").symlink_to(secret)
    (folder / "out").symlink_to(folder.parent)

    async with serve(folder) as client:
        await error_of(client, "read", locator=path)
        assert await passages(client, "swordfish") == []


@pytest.mark.parametrize(
    "words", ["", "the of and", "\ud800", "NEAR(a b)", '"', "a AND", "*", "col:x", "日本語", "-" * 5000]
)
async def test_odd_queries_are_only_queries(folder: Path, words: str):
    async with serve(folder) as client:
        assert isinstance(await text_of(client, "search", query=words), str)


async def test_no_text_is_a_wrong_query(folder: Path):
    (folder / "odd.txt").write_text('NEAR AND OR NOT "quoted" col:x a*b (c) 日本語 straße e\u0301')
    async with serve(folder, refresh_seconds=600.0) as client:
        for query in _many_texts():
            answer = await call(client, "search", query=query)
            assert not answer.is_error, query


def _many_texts() -> list[str]:
    texts: list[str] = []
    syntax = st.sampled_from(
        ['"', "'", "(", ")", "*", "^", ":", "-", "+", "{", "}", "AND", "OR", "NOT", "NEAR(", "a", "\0"]
    )

    @settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.one_of(st.text(max_size=200), st.lists(syntax, max_size=12).map(" ".join)))
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    return texts


async def test_many_searches_at_once_all_answer(folder: Path, tmp_path: Path):
    for number in range(200):
        (folder / f"file{number}.txt").write_text(f"The animal number {number} is called beast{number}.")
    for cache in (":memory:", str(tmp_path / "shared.db")):
        answers: dict[int, str] = {}

        async def one(client: Client, number: int, answers: dict[int, str] = answers) -> None:
            answers[number] = (await passages(client, f"beast{number}"))[0]["source"]

        async with serve(folder, cache=cache) as client, anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, client, number)

        assert answers == {number: f"file{number}.txt" for number in range(100)}


async def test_the_first_search_reports_its_progress(folder: Path):
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with serve(folder) as client:
        await client.call_tool("search", {"query": "yeast"}, progress_callback=note)

    assert seen == [(0, 3), (3, 3)]


async def test_the_tools_say_that_they_only_read(folder: Path):
    async with serve(folder) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert sorted(tools) == ["outline", "read", "search"]
    for tool in tools.values():
        assert tool.output_schema
        assert tool.annotations
        assert tool.annotations.model_dump(exclude_none=True) == {
            "read_only_hint": True,
            "destructive_hint": False,
            "idempotent_hint": True,
            "open_world_hint": False,
        }


async def test_the_outline_counts_files_folders_and_kinds(folder: Path):
    async with serve(folder) as client:
        text = await text_of(client, "outline")

    assert text.split("\n")[1:] == ["folders: (top level) 2, loop/ 1", "kinds: markdown 1, source 1, text 1"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"root": "nowhere"}, "does not exist"),
        ({"root": "notes.txt"}, "is not a folder"),
        ({"include": 3}, "include must be a glob"),
        ({"max_file_bytes": "x"}, "max_file_bytes must be"),
        ({"cache": ""}, "cache must be"),
        ({"refresh_seconds": "often"}, "refresh_seconds must be"),
    ],
)
async def test_wrong_options_are_refused_with_a_sentence(folder: Path, options: dict, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        create(base=folder, **options)


async def test_it_runs_over_stdio(folder: Path, tmp_path: Path):
    command = ["-m", "toolservers.corpus", "--root", str(folder), "--cache", str(tmp_path / "cache" / "x.db")]
    server = StdioServerParameters(command=sys.executable, args=command, cwd=Path(__file__).parents[2])

    with anyio.fail_after(60):
        async with Client(server) as client:
            assert "Cooling" in await text_of(client, "search", query="reactor coolant")
    assert (tmp_path / "cache" / "x.db").exists()
