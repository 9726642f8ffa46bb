"""Bundles: whole runs in one file, from one machine to another."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import MemoryJournal, Recorded, UsageError
from harness.events import RunStarted
from harness.journal import Journal, open_journal
from harness.replay import Changes
from harness.replay.bundle import SMALL_BYTES, import_bundle, read_bundle, write_bundle
from harness.team import load_team
from tests.benchmarks.model_server import model_server
from tests.replay.elsewhere import ReplayElsewhere
from tests.replay.scenes import play

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def journal() -> Journal:
    """A journal of some random runs."""

    async def play_some() -> Journal:
        journal = MemoryJournal()
        for seed in range(12):
            scene = await play(seed)
            for summary in scene.journal.runs():
                journal.append(scene.recorded(summary.run_id))
        return journal

    return anyio.run(play_some)


def ids(journal: Journal) -> list[str]:
    return [summary.run_id for summary in journal.runs()]


def portable(recorded: Sequence[Recorded]) -> list[Recorded]:
    """The events as a bundle has them."""
    first = recorded[0]
    assert isinstance(first.event, RunStarted)
    return [replace(first, event=replace(first.event, team_path="")), *recorded[1:]]


def lines_of(bundle: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in gzip.decompress(bundle.read_bytes()).splitlines()]


def forge(bundle: Path, *lines: object) -> Path:
    """Write a bundle of these lines whose checksum fits."""
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    signed = body + orjson.dumps({"sha256": hashlib.sha256(body).hexdigest()}) + b"\n"
    bundle.write_bytes(gzip.compress(signed))
    return bundle


HEAD = {"harness_bundle": 1, "format": 2, "harness": "0.1.0", "runs": ["a"]}


async def test_a_bundle_holds_whole_runs_and_each_content_once(journal: Journal, tmp_path: Path):
    write_bundle(journal, ids(journal), tmp_path / "run.harness")

    runs = read_bundle(tmp_path / "run.harness")

    taken = MemoryJournal()
    assert sorted(await import_bundle(taken, tmp_path / "run.harness")) == sorted(ids(journal))
    assert ids(taken) == ids(journal)
    for run_id, recorded in runs.items():
        assert list(taken.read(run_id)) == recorded
        assert harness.fold(recorded) == harness.fold(portable(list(journal.read(run_id))))
    hashes = [line["hash"] for line in lines_of(tmp_path / "run.harness") if "hash" in line]
    assert len(hashes) == len(set(hashes)) > 20


async def test_runs_in_a_bundle_replay_exactly_elsewhere(
    journal: Journal, tmp_path: Path, replay_elsewhere: ReplayElsewhere
):
    write_bundle(journal, ids(journal), tmp_path / "run.harness")

    replays = replay_elsewhere(tmp_path / "run.harness", times=2)

    assert replays.faults == []
    assert len(replays.runs) == 2 * len(ids(journal))


async def test_the_same_runs_give_the_same_bytes(journal: Journal, tmp_path: Path):
    write_bundle(journal, ids(journal), tmp_path / "one.harness")
    store = open_journal(tmp_path / "store", write=True)
    await import_bundle(store, tmp_path / "one.harness")

    write_bundle(store, [*reversed(ids(journal)), ids(journal)[0]], tmp_path / "other.harness")

    assert (tmp_path / "one.harness").read_bytes() == (tmp_path / "other.harness").read_bytes()
    await store.close()


async def test_a_fork_keeps_saying_where_it_comes_from(tmp_path: Path):
    team = tmp_path / "team.yaml"
    team.write_text(TEAM.format(models="{default: {api: scripted, script: [{say: Done.}]}}"))
    async with harness.open(team, store=tmp_path / "store") as opened:
        run = await opened.start("Go.")
        await run.result()
        fork = await opened.fork(run.id, "lead/turn-1", changes=Changes(brief="Go on."))
        await fork.result()
        write_bundle(opened.journal, [fork.id, run.id], tmp_path / "run.harness")

    runs = read_bundle(tmp_path / "run.harness")

    assert set(runs) == {run.id, fork.id}
    started = runs[fork.id][0].event
    assert isinstance(started, RunStarted)
    assert started.forked_from is not None
    assert started.forked_from.run_id == run.id


async def test_importing_the_same_runs_again_changes_nothing(journal: Journal, tmp_path: Path):
    some = ids(journal)[:3]
    write_bundle(journal, some, tmp_path / "run.harness")
    store = open_journal(tmp_path / "runs.db", write=True)
    assert await import_bundle(store, tmp_path / "run.harness") == sorted(some)
    before = [list(store.read(run_id)) for run_id in some]

    assert await import_bundle(store, tmp_path / "run.harness") == []
    assert await import_bundle(journal, tmp_path / "run.harness") == []

    assert [list(store.read(run_id)) for run_id in some] == before
    await store.close()


async def test_an_import_that_was_cut_off_is_completed(journal: Journal, tmp_path: Path):
    run_id = ids(journal)[0]
    write_bundle(journal, [run_id], tmp_path / "run.harness")
    whole = read_bundle(tmp_path / "run.harness")[run_id]
    store = MemoryJournal()
    store.append(whole[:5])

    assert await import_bundle(store, tmp_path / "run.harness") == [run_id]
    assert list(store.read(run_id)) == whole


async def test_another_run_of_the_same_id_is_not_overwritten_and_nothing_is_taken(
    journal: Journal, tmp_path: Path
):
    first, second = ids(journal)[:2]
    write_bundle(journal, [first, second], tmp_path / "run.harness")
    store = MemoryJournal()
    other = [replace(item, run_id=second) for item in journal.read(first)]
    store.append(other)

    with pytest.raises(UsageError, match=f"a run {second} is here already, and differs"):
        await import_bundle(store, tmp_path / "run.harness")

    assert ids(store) == [second]
    assert list(store.read(second)) == other


def test_a_run_that_is_not_there_makes_no_bundle(journal: Journal, tmp_path: Path):
    with pytest.raises(UsageError, match="there is no run nobody"):
        write_bundle(journal, [ids(journal)[0], "nobody"], tmp_path / "run.harness")

    assert list(tmp_path.iterdir()) == []


def test_a_bundle_holds_no_path_of_the_machine(journal: Journal, tmp_path: Path):
    run_id = ids(journal)[0]
    first, *rest = journal.read(run_id)
    assert isinstance(first.event, RunStarted)
    placed = MemoryJournal()
    placed.append([replace(first, event=replace(first.event, team_path="/home/person/team.yaml")), *rest])

    write_bundle(placed, [run_id], tmp_path / "run.harness")

    assert b"/home/person" not in gzip.decompress((tmp_path / "run.harness").read_bytes())


TEAM = """\
harness: 1
name: keyed
entry: lead
models: {models}
agents:
  lead: {{instructions: "Lead the way to ${{GOAL:-nowhere}}.", delegates: [scout]}}
  scout: {{instructions: Scout.}}
"""

KEYED = "{default: {api: openai-chat, base_url: '${URL}', api_key: '${KEY}', model: '${MODEL}', headers: {x-tenant: '${TENANT}'}}}"


async def test_a_run_replays_where_its_keys_and_its_server_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replay_elsewhere: ReplayElsewhere
):
    team = tmp_path / "team.yaml"
    team.write_text(TEAM.format(models=KEYED))
    secrets = {"KEY": "sk-secret-12345", "TENANT": "tenant-secret"}
    async with model_server() as server:
        variables = {"URL": server.base_url, "MODEL": "some-model", "GOAL": "the mountains", **secrets}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with anyio.fail_after(20):
            async with harness.open(team, store=tmp_path / "store") as opened:
                run = await opened.start("SCRIPT: turns=0 tool=echo")
                assert (await run.result()).output == "DONE 0"
                write_bundle(opened.journal, [run.id], tmp_path / "run.harness")
    (tmp_path / "team.yaml").unlink()

    replays = replay_elsewhere(tmp_path / "run.harness", times=2)

    assert replays.faults == []
    assert [run["ended"] for run in replays.runs] == [True, True]
    unpacked = gzip.decompress((tmp_path / "run.harness").read_bytes())
    assert b"the mountains" in unpacked
    assert not any(
        secret.encode() in unpacked for secret in (*secrets.values(), server.base_url, str(tmp_path))
    )


# --- what is not a bundle ---


def refused(bundle: Path, **limits: int) -> str:
    with pytest.raises(UsageError) as caught:
        read_bundle(bundle, **limits)
    assert str(bundle) in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path):
    bundle = tmp_path / "run.harness"

    assert "No such file" in refused(bundle)
    for content in (b"", b"harness: 1\n", gzip.compress(b""), gzip.compress(b"[]\n"), gzip.compress(b"{}\n")):
        bundle.write_bytes(content)
        refused(bundle)


@pytest.mark.parametrize("key", ["harness_bundle", "format"])
def test_a_bundle_of_a_newer_harness_is_refused_by_its_version(tmp_path: Path, key: str):
    bundle = forge(tmp_path / "run.harness", {**HEAD, key: 99, "harness": "7.0"})

    assert "was written by a newer harness (7.0); upgrade this one" in refused(bundle)


def test_an_event_of_a_newer_harness_is_refused_as_such(tmp_path: Path):
    event = {"run": 0, "sequence": 0, "at": 1.0, "type": "moon.landed", "event": "{}"}

    assert "needs a newer harness" in refused(forge(tmp_path / "run.harness", HEAD, event))


DAMAGES: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "an event is missing": lambda lines: [line for line in lines if line.get("sequence") != 3],
    "an event is there twice": lambda lines: [*lines, lines[-1]],
    "a run is missing": lambda lines: [{**lines[0], "runs": [*lines[0]["runs"], "b"]}, *lines[1:]],
    "there are no runs": lambda lines: [{**lines[0], "runs": []}],
    "an id is no text": lambda lines: [{**lines[0], "runs": [7]}, *lines[1:]],
    "an id would change the terminal": lambda lines: [{**lines[0], "runs": ["\x1b[2J"]}, *lines[1:]],
    "content is missing": lambda lines: [line for line in lines if "hash" not in line],
    "content is no JSON": lambda lines: [
        {**line, "content": "{"} if "hash" in line else line for line in lines
    ],
    "an event is of no run": lambda lines: [{**line, "run": 5} if "run" in line else line for line in lines],
    "an event is of the last run but one": lambda lines: [
        {**line, "run": -1} if "run" in line else line for line in lines
    ],
    "an event is no JSON": lambda lines: [
        {**line, "event": "{"} if "run" in line else line for line in lines
    ],
    "an event is a number": lambda lines: [{**line, "event": 5} if "run" in line else line for line in lines],
    "an event has no time": lambda lines: [
        {**line, "at": "now"} if "run" in line else line for line in lines
    ],
    "an event is very deep": lambda lines: [
        {**line, "event": " " + "[" * 100_000} if "run" in line else line for line in lines
    ],
    "a line is no event": lambda lines: [*lines, {}],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_hang_together_is_refused(journal: Journal, tmp_path: Path, damage: str):
    bundle = tmp_path / "run.harness"
    write_bundle(journal, ids(journal)[:1], bundle)
    *lines, _ = lines_of(bundle)

    assert "damaged" in refused(forge(bundle, *DAMAGES[damage](lines)))


def test_a_bundle_that_was_cut_off_or_changed_is_refused(journal: Journal, tmp_path: Path):
    write_bundle(journal, ids(journal)[:1], tmp_path / "whole.harness")
    whole = (tmp_path / "whole.harness").read_bytes()
    bundle = tmp_path / "run.harness"
    chance = random.Random(3)
    for place in chance.sample(range(len(whole)), 60):
        bundle.write_bytes(whole[:place])
        refused(bundle)
    # The first ten bytes say when and where it was packed; nothing rests on that.
    for place in chance.sample(range(10, len(whole)), 200):
        bundle.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
        )
        refused(bundle)
    *lines, _ = lines_of(tmp_path / "whole.harness")
    packed = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    bundle.write_bytes(gzip.compress(packed + orjson.dumps({"sha256": "0" * 64})))
    assert "its checksum does not fit" in refused(bundle)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "harness_bundle",
        "format",
        "runs",
        "hash",
        "content",
        "run",
        "sequence",
        "at",
        "type",
        "event",
        "sha256",
    ]
)
types = st.sampled_from(["run.started", "entry.appended", "turn.started", "model_call.finished", "?"])
lines = st.dictionaries(keys, json | types | st.integers(0, 2), max_size=6)


@settings(deadline=None, max_examples=300)
@given(st.lists(lines | json, max_size=4), st.booleans())
def test_whatever_is_signed_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, written: list[object], headed: bool
):
    bundle = tmp_path_factory.getbasetemp() / "any.harness"
    forge(bundle, *([HEAD] if headed else []), *written)

    refused(bundle)


def test_a_bundle_that_unpacks_to_too_much_is_refused(journal: Journal, tmp_path: Path):
    bundle = tmp_path / "run.harness"
    forge(bundle, HEAD, {"hash": "a", "content": "a" * (2 * SMALL_BYTES)})
    assert bundle.stat().st_size < SMALL_BYTES / 100
    assert f"would unpack to more than {SMALL_BYTES:,} bytes" in refused(bundle)

    write_bundle(journal, ids(journal)[:1], bundle)
    assert "would unpack to more than 5,000 bytes" in refused(bundle, most=5_000)


def test_the_team_of_a_bundle_is_the_one_of_the_run(tmp_path: Path):
    team = tmp_path / "team.yaml"
    team.write_text(TEAM.format(models="{default: {api: scripted, script: [{say: Done.}]}}"))
    store = tmp_path / "runs.db"
    result = harness.run_sync(team, "Go.", store=store)
    write_bundle(open_journal(store, write=False), [result.run_id], tmp_path / "run.harness")

    started = read_bundle(tmp_path / "run.harness")[result.run_id][0].event

    assert isinstance(started, RunStarted)
    assert started.team == load_team(team).source
