"""Every file in `bad/` says in its first two lines what is wrong with it and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import TeamError
from harness.team import load_team
from harness.team.strict_yaml import MAX_BYTES

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
JARGON = re.compile(
    r"Input should|Traceback|Error\b|pydantic|ruamel|scalar|<block|stream (end|start)|NoneType|\bdict\b|\bstr\b|\bint\b|union"
)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_file_is_refused_with_the_fault_and_its_place(file: Path, library: dict[str, Path]):
    lines = file.read_text().splitlines()
    expected, place = lines[0].removeprefix("# expect: "), lines[1].removeprefix("# at: ")

    with pytest.raises(TeamError) as caught:
        load_team(file, library=library, environment={})

    found = [p for p in caught.value.problems if expected in p.message or expected in p.hint]
    assert found, str(caught.value)
    if place != "the file":
        assert f"{found[0].line}:{found[0].column}" == place
        shown = Path(found[0].file).read_text().splitlines()[found[0].line - 1]
        assert found[0].source == shown.replace("\t", " ")
        assert 1 <= found[0].column <= len(shown) + 1
    assert not JARGON.search("\n".join(f"{p.message} {p.hint}" for p in caught.value.problems))


def test_the_corpus_is_large():
    assert len(BAD) >= 90


def test_bytes_that_are_no_text_are_placed(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_bytes(b"harness: 1\nname: caf\xe9\n")

    with pytest.raises(TeamError) as caught:
        load_team(file)

    (problem,) = caught.value.problems
    assert (problem.message, problem.line, problem.column) == ("this is not UTF-8 text", 2, 10)


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_bytes(
        b"\xef\xbb\xbfharness: 1\r\nname: x\r\nentry: a\r\nagents:\r\n  a: {instructions: Hi.}\r\n"
    )

    assert load_team(file).spec.name == "x"


def test_characters_that_yaml_forbids_are_named(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_bytes(b"harness: 1\nname: a\x00b\n")

    with pytest.raises(TeamError, match=r"team\.yaml:2:8: the character U\+0000 is not allowed"):
        load_team(file)


def test_a_huge_file_is_refused_unread(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))

    with pytest.raises(TeamError, match="more than 1,000,000 bytes"):
        load_team(file)


def test_a_missing_file_names_the_one_that_was_meant(tmp_path: Path):
    (tmp_path / "team.yaml").write_text("")
    (tmp_path / "other.yaml").write_text("")

    with pytest.raises(TeamError) as caught:
        load_team(tmp_path / "taem.yaml")

    (problem,) = caught.value.problems
    assert problem.message == "there is no such file"
    assert problem.hint == "did you mean 'team.yaml'?"


def test_a_directory_is_no_team_file(tmp_path: Path):
    (tmp_path / "team.yaml").write_text("")

    with pytest.raises(TeamError, match="this is a directory"):
        load_team(tmp_path)


def test_a_flood_of_faults_is_cut_off(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_text("harness: 1\nharness: 1\n" + "harness: 1\n" * 5_000)

    with pytest.raises(TeamError) as caught:
        load_team(file)

    assert len(caught.value.problems) == 100


def test_only_the_part_of_a_long_line_that_matters_is_shown(tmp_path: Path):
    file = tmp_path / "team.yaml"
    file.write_text('harness: 1\nnam: "' + "long " * 200 + '"\n')

    with pytest.raises(TeamError) as caught:
        load_team(file)

    shown = [problem.source for problem in caught.value.problems if "unknown key" in problem.message]
    assert [len(source) for source in shown] == [251]
