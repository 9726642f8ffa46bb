"""From a mark to the finding, from the finding to its evidence, from a call to where its arguments came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Tab, browser
from runs import HOSTILE, feeding, found, synthetic
from showing import assert_quiet, shown, text

from harness.diagnosis import Diagnosis, Finding, Quote, Where, examine

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(90),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

FOLLOW = """(() => {
    const led = [];
    const all = selector => [...document.querySelectorAll(selector)];
    for (const one of all('.finding blockquote .link')) {
        one.click();
        const focus = document.querySelector('.focus');
        led.push([one.textContent, focus?.dataset.entry ?? focus?.dataset.call ?? focus?.dataset.tool,
                  focus?.querySelector('mark')?.textContent]);
    }
    return led;
})()"""

OVER_A_MARK = """(() => {
    const canvas = document.querySelector(SELECTOR), box = canvas.getBoundingClientRect();
    for (let y = 0; y < box.height; y += 3) for (let x = 0; x < box.width; x += 2) {
        const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true };
        canvas.dispatchEvent(new PointerEvent('pointermove', at));
        const tip = document.querySelector('.tip');
        if (!tip.hidden && tip.innerText.includes('for its evidence')) return [at.clientX, at.clientY];
    }
})()"""

BLUE = """(async () => {
    await new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)));
    const canvas = document.querySelector('.lanes-view canvas');
    const probe = document.createElement('canvas').getContext('2d');
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--accent');
    probe.fillRect(0, 0, 1, 1);
    const wanted = probe.getImageData(0, 0, 1, 1).data;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const drawn = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 0; i < drawn.length; i += 4) count += [0, 1, 2].every(c => drawn[i + c] === wanted[c]);
    return count;
})()"""


async def choose(tab: Tab, key: str) -> None:
    """Open a call of the turn that is shown."""
    await tab.run(f"document.querySelector('[data-call=\"{key}\"] summary').click()")
    await tab.frame()


async def test_every_quote_leads_to_the_element_it_was_taken_from_and_is_marked_there(tmp_path: Path):
    diagnosis = about(
        feeding(),
        Quote("desk/turn-2/0", 'orders.read {"order":"ORD-0815"}'),
        Quote("desk#2", "ORD-0815"),
        Quote("desk#0", "customer C-4711"),
    )
    async with browser() as tab:
        await shown(tab, tmp_path, diagnosis)

        assert await tab.run(FOLLOW) == [
            ["desk/turn-2/0", "desk/turn-2/0", '{\n  "order": "ORD-0815"\n}'],
            ["desk#2", "desk#2", "ORD-0815"],
            ["desk#0", "desk#0", "customer C-4711"],
        ]
        await assert_quiet(tab)


async def test_evidence_may_be_a_tool_that_was_offered_or_the_brief_of_an_agent(tmp_path: Path):
    record = synthetic(agents=2, turns=2)
    diagnosis = about(record, Quote("files.readplain", "never called"), Quote("lead/plain-1", "file-2.txt"))
    async with browser() as tab:
        await shown(tab, tmp_path, diagnosis)

        assert await tab.run(FOLLOW) == [
            ["files.readplain", "files.readplain", "files.readplain"],
            ["lead/plain-1", "lead/plain-1#1", "file-2.txt"],
        ]


@pytest.mark.parametrize("chart", [".lanes-view canvas", ".strata canvas"], ids=["lane", "bar"])
async def test_a_mark_in_a_chart_opens_its_finding_at_the_evidence(tmp_path: Path, chart: str):
    async with browser() as tab:
        await shown(tab, tmp_path, about(feeding(), Quote("desk/turn-2/0", "ORD-0815")))
        x, y = await tab.run(OVER_A_MARK.replace("SELECTOR", repr(chart)))
        for kind in ("mousePressed", "mouseReleased"):
            await tab.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        await tab.frame()

        assert "It is wrong." in await text(tab, ".banner")
        assert await tab.run("document.querySelector('.focus').dataset.call") == "desk/turn-2/0"
        assert await tab.run("document.querySelector('.focus mark').textContent") == "ORD-0815"


async def test_going_back_to_the_findings_shows_the_one_that_was_left(tmp_path: Path):
    async with browser() as tab:
        await shown(tab, tmp_path, found(synthetic(turns=40), every=1))
        await tab.press("p")
        await tab.press("Escape")

        last = "[...document.querySelectorAll('.finding')].at(-1)"
        assert await tab.run(f"{last}.contains(document.activeElement)")
        assert await tab.run(f"{last}.getBoundingClientRect().top < innerHeight")


async def test_a_call_shows_where_its_arguments_came_from_and_where_its_result_went(tmp_path: Path):
    async with browser() as tab:
        await shown(tab, tmp_path, examine(feeding(), detectors=()))
        for key in ("j", "j"):
            await tab.press(key)
        before = await tab.run(BLUE)
        await choose(tab, "desk/turn-2/0")

        assert "orders.searchplain, turn 1 ORD-0815" in await text(tab, ".flow.from")
        assert await tab.run(BLUE) > before + 20
        await tab.run("document.querySelector('.flow.from .link').click()")
        assert await tab.run("document.querySelector('.focus').dataset.call") == "desk/turn-1/0"
        assert "task C-4711" in await text(tab, ".flow.from")
        assert "orders.read, turn 2 ORD-0815" in await text(tab, ".flow.to")
        await tab.run("document.querySelector('.flow.from .link').click()")
        assert await tab.run("document.querySelector('.focus mark').textContent") == "C-4711"
        await assert_quiet(tab)


async def test_a_value_that_nothing_had_shown_is_said_to_come_from_nothing(tmp_path: Path):
    async with browser() as tab:
        await shown(tab, tmp_path, examine(feeding(), detectors=()))
        for key in ("j", "j", "j"):
            await tab.press(key)
        await choose(tab, "desk/turn-3/0")

        assert "nothing before it: ORD-9999" in await text(tab, ".flow.from")


async def test_a_value_inside_something_longer_is_found_there(tmp_path: Path):
    async with browser() as tab:
        await shown(tab, tmp_path, examine(feeding(first="see orders/ORD-9999:3-4"), detectors=()))
        for key in ("j", "j", "j"):
            await tab.press(key)
        await choose(tab, "desk/turn-3/0")

        assert "orders.searchplain, turn 1 ORD-9999" in await text(tab, ".flow.from")


async def test_what_flows_stays_text(tmp_path: Path):
    record = feeding(word=HOSTILE)
    diagnosis = about(record, Quote("desk/turn-1/0", f"found ORD-0815 {HOSTILE}"), what=HOSTILE)
    async with browser() as tab:
        await shown(tab, tmp_path, diagnosis)
        await tab.press("n")
        await tab.run("document.querySelector('.flow.to .link').click()")

        assert "<img src=x onerror=window.hacked=1>" in await text(tab, ".flow.from")
        assert await tab.run("window.hacked") is None
        assert await tab.run("document.querySelectorAll('img, iframe').length") == 0
        await assert_quiet(tab)


async def test_tab_passes_through_everything_and_always_shows_where_it_is(tmp_path: Path):
    stop = """(() => { const at = document.activeElement, style = getComputedStyle(at);
        const seen = style.outlineStyle !== 'none' || at.matches('.node');
        return [at === document.body ? '' : at.tagName + at.className + at.textContent.slice(0, 30), seen]; })()"""
    async with browser() as tab:
        await shown(tab, tmp_path, about(feeding(), Quote("desk/turn-2/0", "ORD-0815")))
        stops: list[Any] = []
        while len(stops) < 60:
            await tab.press("Tab")
            stops.append(await tab.run(stop))
            if stops[-1] == stops[0] and len(stops) > 3:
                break

        assert 10 < len(stops) < 60, "focus goes round"
        assert [name for name, seen in stops if name and not seen] == []


def about(record: Any, *quotes: Quote, what: str = "It is wrong.") -> Diagnosis:
    """Return a diagnosis with one finding that rests on these quotes."""
    examined = examine(record, detectors=())
    agent = next(iter(record.agents))
    finding = Finding(
        "stale-argument",
        "warning",
        what,
        Where(agent=agent, turns=(2,), calls=(quotes[0].where,)),
        quotes,
    )
    return Diagnosis(examined.record, examined.ledger, (finding,), ())
