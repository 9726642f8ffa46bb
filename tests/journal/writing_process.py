"""A process that writes a journal until something happens to it; prints what was acknowledged.

hold STORE         writes a run, prints its id, and keeps the store open until stdin closes
die STORE N        writes N turns, waits for the disk after each, starts one more and is killed
on STORE           goes on until it is killed, printing each sequence that is durable
fill STORE BYTES   goes on until writing fails, no file being longer than BYTES; then a report
forget STORE       writes a run and ends without closing the store
answer STORE NAME  answers twenty questions unless others were faster, and prints which; then it may die
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


def say(word: object) -> None:
    print(word, flush=True)


async def hold(store: str) -> None:
    journal = open_journal(store, write=True)
    journal.append(a_run(run_id=f"run-{os.getpid()}"))
    await journal.durable()
    say(f"run-{os.getpid()}")
    sys.stdin.read()
    await journal.close()


async def die(store: str, turns: str) -> None:
    journal = open_journal(store, write=True)
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
    journal = open_journal(store, write=True)
    await write_until_it_fails(journal, tell=True)


async def fill(store: str, limit: str) -> None:
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    journal = open_journal(store, write=True)
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
    open_journal(store, write=True).append(a_run())


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


async def delete(store: str) -> None:
    journal = open_journal(store, write=True)
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
    }
    anyio.run(acts[sys.argv[1]], *sys.argv[2:])
