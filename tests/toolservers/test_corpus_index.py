"""The index by itself: how files are cut, kept, shared and repaired."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolservers.corpus.index import Index, cache_file
from toolservers.corpus.passages import Passage, cut, lines_of, readable
from toolservers.corpus.scan import Scope
from toolservers.globs import matches
from toolservers.paths import Root

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(5):
        (root / f"note{number}.txt").write_text(f"The lighthouse keeper number {number} writes.")
    return root


def open_index(folder: Path, cache: str | None, **options: float) -> Index:
    return Index(
        Scope(Root.at(str(folder))), cache=cache, refresh_seconds=options.get("refresh_seconds", 0.0)
    )


def cut_text(text: str, path: str) -> list[Passage]:
    kind = Scope(Root(Path("/"))).kind_of(path)
    assert kind
    return cut(*readable(lines_of(text.encode()), path=path, kind=kind), path=path, kind=kind)


def test_an_unchanged_folder_is_not_read_again(folder: Path, tmp_path: Path):
    cache = str(tmp_path / "x.db")
    open_index(folder, cache).refresh()
    told: list[tuple[int, int]] = []

    again = open_index(folder, cache)
    found = again.search("lighthouse", limit=10, report=lambda done, total: told.append((done, total)))

    assert len(found) == 5
    assert told == []


def test_only_the_changed_file_is_read_again(folder: Path):
    index = open_index(folder, ":memory:")
    index.refresh()
    told: list[tuple[int, int]] = []
    (folder / "note3.txt").write_text("A trawler passes.")

    index.refresh(lambda done, total: told.append((done, total)))

    assert told == [(0, 1), (1, 1)]
    assert [hit.path for hit in index.search("trawler", limit=5)] == ["note3.txt"]


def test_within_the_pause_the_folder_is_not_looked_at_but_reading_finds_a_new_file(folder: Path):
    index = open_index(folder, ":memory:", refresh_seconds=600.0)
    index.refresh()
    (folder / "new.txt").write_text("A trawler passes.")

    assert index.search("trawler", limit=5) == []
    assert index.file("new.txt") is not None
    assert len(index.search("trawler", limit=5)) == 1


def test_a_report_that_raises_stops_the_work_and_keeps_what_was_done(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    for number in range(600):
        (root / f"{number:03}.txt").write_text(f"lantern {number}")
    index = open_index(root, str(tmp_path / "x.db"))

    def stop(done: int, total: int) -> None:
        if done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        index.refresh(stop)
    told: list[int] = []
    index.refresh(lambda done, total: told.append(total))

    assert told[0] == 600 - 256
    assert len(index.files()) == 600


@pytest.mark.parametrize(
    "rubbish", [b"not a database at all" * 500, b"", b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_damaged_cache_is_made_anew(folder: Path, tmp_path: Path, rubbish: bytes):
    cache = tmp_path / "x.db"
    cache.write_bytes(rubbish)

    assert len(open_index(folder, str(cache)).search("lighthouse", limit=10)) == 5


def test_a_cache_damaged_while_in_use_is_made_anew(folder: Path, tmp_path: Path):
    cache = tmp_path / "x.db"
    index = open_index(folder, str(cache))
    index.refresh()
    with sqlite3.connect(cache) as other:
        other.execute("DROP TABLE words_data")
    other.close()

    assert len(index.search("lighthouse", limit=10)) == 5


def test_where_no_cache_can_be_written_the_index_lives_in_memory(folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")

    assert len(open_index(folder, str(tmp_path / "file" / "x.db")).search("lighthouse", limit=10)) == 5


def test_the_cache_is_kept_in_the_users_cache_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    scope = Scope(Root.at(str(folder)))

    open_index(folder, None).refresh()

    file = cache_file(scope, None)
    assert file is not None
    assert file.exists()
    assert file.parent == tmp_path / "caches" / "harness-corpus"
    assert file.parent.stat().st_mode & 0o077 == 0
    assert file != cache_file(Scope(scope.root, exclude=("*.md",)), None)


def test_processes_share_one_cache(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    for number in range(800):
        (root / f"{number}.txt").write_text(f"The lantern number {number} burns.\n" * 20)
    program = (
        "import sys, json; from toolservers.corpus.index import Index; from toolservers.corpus.scan import Scope; "
        "from toolservers.paths import Root; index = Index(Scope(Root.at(sys.argv[1])), cache=sys.argv[2]); "
        "print(json.dumps([len(index.files()), index.overview().passages, len(index.search('lantern 77', limit=5))]))"
    )
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "x.db")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) for _ in range(3)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]

    assert answers == [[800, 800, 5]] * 3
    with sqlite3.connect(tmp_path / "x.db") as tables:
        assert tables.execute("SELECT count(*) FROM passages").fetchone() == (800,)
        tables.execute("INSERT INTO words(words, rank) VALUES ('integrity-check', 1)")
    tables.close()


def test_importing_the_package_does_not_import_the_sdk():
    program = "import sys, toolservers.corpus.index, toolservers.files; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0


def test_a_file_that_turns_into_a_link_is_not_followed(folder: Path, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("swordfish")
    index = open_index(folder, ":memory:")
    index.refresh()
    (folder / "note1.txt").unlink()
    os.symlink(tmp_path / "secret.txt", folder / "note1.txt")

    assert index.search("swordfish", limit=5) == []
    assert index.file("note1.txt") is None


lines = st.sampled_from(
    ["", "  ", "# Head", "## Sub", "```", "text " * 9, "def f(x):", "    return x", "}", "===", "w" * 3000]
)


@given(st.lists(lines, max_size=80), st.sampled_from(["a.md", "a.rst", "a.txt", "a.py", "a.ts", "a.toml"]))
def test_passages_hold_every_line_once_in_order_and_verbatim(chosen: list[str], path: str):
    passages = cut_text("\n".join(chosen), path)

    covered = [number for one in passages for number in range(one.start, one.stop + 1)]
    assert covered == sorted(covered)
    assert {number for number, line in enumerate(chosen, 1) if line.strip()} <= set(covered)
    for one in passages:
        whole = "\n".join(chosen[one.start - 1 : one.stop])
        assert one.text == whole or (one.start == one.stop and one.text in whole)
        assert len(one.text) <= 3000


def test_markdown_is_cut_at_headings_and_never_inside_fences():
    section = "Water boils. " * 30
    text = f"# One\n\n{section}\n\n## Two\n\n{section}\n\n```sh\n# not a heading\n\nls\n```\n"

    assert [(one.start, one.stop, one.title) for one in cut_text(text, "a.md")] == [
        (1, 3, "One"),
        (5, 13, "Two"),
    ]


def test_source_is_cut_at_definitions_with_their_decorators():
    body = "    value = compute(value)\n" * 30
    text = f"@first\n@second\ndef one(value):\n{body}\n\nclass Two:\n    def method(self, value):\n    {body}"

    found = cut_text(text, "a.py")
    assert (found[0].start, found[0].title) == (1, "one")
    assert found[1].title == "Two.method"


def test_restructured_text_has_titles():
    assert [one.title for one in cut_text("Heading\n=======\n\nSome words.\n", "a.rst")] == ["Heading"]


def test_crlf_and_byte_order_marks_do_not_move_lines():
    (passage,) = cut_text("\ufeffone\r\ntwo\x0cstill two\r\n\r\nfour", "a.txt")
    assert (passage.start, passage.stop, passage.text) == (1, 4, "one\ntwo\x0cstill two\n\nfour")


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("docs/a.md", "*.md", True),
        ("docs/a.md", "docs", True),
        ("docs/a.md", "docs/*.md", True),
        ("docs/deep/a.md", "docs/*.md", False),
        ("docs/deep/a.md", "docs/**/*.md", True),
        ("docs/a.md", "docs/**/*.md", True),
        ("docs/a.md", "docs/", True),
        ("src/docs/a.md", "docs/*.md", False),
        ("src/docs/a.md", "**/docs/*.md", True),
        ("a.md", "**", True),
        ("a.md", "b.md", False),
    ],
)
def test_globs_match_as_people_expect(path: str, pattern: str, expected: bool):
    assert matches(path, [pattern]) is expected
