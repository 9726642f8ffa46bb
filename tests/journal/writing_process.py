"""A process that writes a journal until something happens to it; prints what was acknowledged.

hold STORE         writes a run, prints its id, and keeps the store open until stdin closes
die STORE N        writes N turns, waits for the disk after each, starts one more and is killed
on STORE           goes on until it is killed, printing each sequence that is durable
fill STORE BYTES   goes on until writing fails, no file being longer than BYTES; then a report
forget STORE       writes a run and ends without closing the store
answer STORE NAME  answers twenty questions unless others were faster, and prints which; then it may die
two STORE          writes two runs in turn until it is killed, printing what is durable of each, or that
                   one is not its own any more
delete STORE       writes a hundred runs, deletes them one by one and prints how many are gone
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import sys
from itertools import count

import anyio
from journal_samples import a_run, an_answer, numbered, turn

from harness.errors import StoreError, UsageError
from harness.journal import Journal, open_journal


def opened(store: str) -> Journal:
    """Open a store for writing; a process that writes to a database counts as dead after a second."""
    if not store.startswith("postgresql:"):
        return open_journal(store, write=True)
    from harness.journal.postgres import LeaseTimes, PostgresJournal

    return PostgresJournal(store, times=LeaseTimes(refreshed=0.1, dead=1.0))


def say(word: object) -> None:
    print(word, flush=True)


async def hold(store: str) -> None:
    journal = opened(store)
    journal.append(a_run(run_id=f"run-{os.getpid()}"))
    await journal.durable()
    say(f"run-{os.getpid()}")
    sys.stdin.read()
    await journal.close()


async def die(store: str, turns: str) -> None:
    journal = opened(store)
    sequence = 0
    for number in range(int(turns)):
        recorded = numbered(turn(number), start=sequence)
        journal.append(recorded)
        await journal.durable()
        sequence += len(recorded)
    journal.append(numbered(turn(0), start=sequence))
    say(sequence)
    os.kill(os.getpid(), signal.SIGKILL)


async def go_on(store: str) -> None:
    journal = opened(store)
    await write_until_it_fails(journal, tell=True)


async def fill(store: str, limit: str) -> None:
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    journal = opened(store)
    acknowledged, failure = await write_until_it_fails(journal, tell=False)
    refusals = 0
    try:
        journal.append(numbered(turn(0), run_id="another"))
    except StoreError:
        refusals += 1
    try:
        await journal.durable()
    except StoreError:
        refusals += 1
    readable = len(list(journal.read("run")))
    await journal.close()
    report = {"failure": failure, "acknowledged": acknowledged, "readable": readable, "refusals": refusals}
    say(json.dumps(report))


async def forget(store: str) -> None:
    opened(store).append(a_run())


async def answer(store: str, name: str, then: str = "") -> None:
    reader = open_journal(store, write=False)
    for number in range(20):
        try:
            reader.answer("run", dataclasses.replace(an_answer(number=number), by=name))
        except UsageError:
            continue
        say(number)
    if then:
        os.kill(os.getpid(), signal.SIGKILL)


async def two(store: str) -> None:
    journal = opened(store)
    written = {"run": 0, "other": 0}
    for number in count():
        for run_id in tuple(written):
            recorded = numbered(turn(number), run_id=run_id, start=written[run_id])
            try:
                journal.append(recorded)
                await journal.durable(run_id)
            except StoreError as error:
                say(f"{run_id} {type(error).__name__}")
                del written[run_id]
                continue
            written[run_id] += len(recorded)
            say(f"{run_id} {written[run_id]}")


async def delete(store: str) -> None:
    journal = opened(store)
    runs = [f"run-{number}" for number in range(100)]
    for run_id in runs:
        journal.append(a_run(turns=50, run_id=run_id))
    await journal.durable()
    for number, run_id in enumerate(runs, 1):
        await journal.delete([run_id])
        say(number)


async def write_until_it_fails(journal: Journal, *, tell: bool) -> tuple[int, str]:
    acknowledged = 0
    for number in count():
        recorded = numbered(turn(number), start=acknowledged)
        try:
            journal.append(recorded)
            await journal.durable()
        except StoreError as error:
            return acknowledged, str(error)
        acknowledged += len(recorded)
        if tell:
            say(acknowledged)
    raise AssertionError


if __name__ == "__main__":
    acts = {
        "hold": hold,
        "die": die,
        "on": go_on,
        "fill": fill,
        "forget": forget,
        "answer": answer,
        "delete": delete,
        "two": two,
    }
    anyio.run(acts[sys.argv[1]], *sys.argv[2:])
