"""`harness diagnose --confirm`: what requests would have been without what was found, in words or as JSON."""

from __future__ import annotations

from dataclasses import asdict

from harness.cli.diagnose import DiagnoseRequest, check_detectors, finding_view, place_of, read_contracts
from harness.cli.store import store_name
from harness.cli.terminal import count, dollars, one_line, plain
from harness.confirming import Asked, Confirmation, Confirmed, Size, Unconfirmed, confirm_sync
from harness.errors import UsageError
from harness.messages import Message
from harness.views import json_line

_WIDTH = 160


def confirm_sources(request: DiagnoseRequest, findings: tuple[str, ...], *, live: bool) -> int:
    """Print what confirms the findings of all runs named; return 0."""
    if request.fail_on or request.baseline or request.write_baseline:
        raise UsageError("--confirm shows what findings cost; it goes with no --fail-on and no baseline")
    check_detectors(request.detectors)
    for source in request.sources:
        for confirmed in confirm_sync(
            source,
            findings=findings,
            detectors=request.detectors,
            store=store_name(request.store),
            live=live,
            contracts=read_contracts(request.order) if request.order else (),
        ):
            if request.as_json:
                print(json_line(_view(source, confirmed)))
            else:
                _print(confirmed)
    return 0


def _view(source: str, confirmed: Confirmed) -> dict[str, object]:
    return {
        "type": "confirmation",
        "source": source,
        "run_id": confirmed.record.id,
        "findings": [{**asdict(one), "finding": finding_view(one.finding)} for one in confirmed.findings],
    }


def _print(confirmed: Confirmed) -> None:
    head = f"run {plain(confirmed.record.id)}: "
    print(f"{head}{len(confirmed.confirmations)} of {count(len(confirmed.findings), 'finding')} confirmed")
    for one in confirmed.findings:
        finding = one.finding
        print(
            f"  {finding.severity:7s} {finding.detector}  {plain(place_of(finding))}  {finding.fingerprint}"
        )
        print(f"          {plain(finding.what)}")
        if isinstance(one, Unconfirmed):
            print(f"          not confirmed: {plain(one.reason)}")
        else:
            _print_confirmation(one)
    paid = [one.asked.usd for one in confirmed.confirmations if one.asked and one.asked.reply]
    if paid:
        whole = None if None in paid else sum(filter(None, paid))
        print(f"  the model answered {count(len(paid), 'time')}: {dollars(whole)}")
    print()


def _print_confirmation(one: Confirmation) -> None:
    print(f"          without it: {plain(one.change)}")
    print(f"          {plain(one.at)}: {_size(one.recorded)} -> {_size(one.changed)}")
    saved = "saves" if one.saved.tokens >= 0 else "costs"
    whole = Size(abs(one.saved.tokens), None if one.saved.usd is None else abs(one.saved.usd))
    fewer = f", {one.unasked} of them not made" if one.unasked else ""
    print(f"          {saved} {_size(whole)} in {count(one.requests, 'request')}{fewer}")
    if one.measured is not None:
        print(f"          the finding's cost: {one.finding.price.tokens:,} said, {one.measured:,} measured")
    print(f"          did:       {_action(one.reply)}")
    if one.asked is not None:
        print(f"          would do:  {_answer(one.asked)}")


def _answer(asked: Asked) -> str:
    if asked.reply is None:
        return f"could not be asked: {one_line(asked.error, _WIDTH)}"
    return f"{_action(asked.reply)}  ({count(asked.usage.input_tokens, 'token')}, {dollars(asked.usd)})"


def _size(size: Size) -> str:
    return f"{count(size.tokens, 'token')} ({dollars(size.usd)})"


def _action(reply: Message | None) -> str:
    """Return the next action that a reply is: its calls, or its text."""
    if reply is None:
        return "no reply"
    calls = "; ".join(f"{call.name} {call.arguments}" for call in reply.tool_calls)
    return one_line(calls or reply.text, _WIDTH)
