"""A page opened in the browser, and what must hold of every page."""

from __future__ import annotations

from pathlib import Path

from browser import Tab

from harness.diagnosis import Diagnosis
from harness.viewer import page

OBSERVE = """
new PerformanceObserver(list => { for (const one of list.getEntries())
    (window.longTasks ||= []).push(one.duration) }).observe({type: 'longtask', buffered: true});
document.addEventListener('securitypolicyviolation', one => (window.violations ||= []).push(one.violatedDirective));
"""


async def shown(tab: Tab, folder: Path, diagnosis: Diagnosis, *, other: Diagnosis | None = None) -> None:
    file = folder / "page.html"
    file.write_text(page(diagnosis, other=other), "utf-8")
    await tab.send("Page.addScriptToEvaluateOnNewDocument", source=OBSERVE)
    await tab.size(1400, 900)
    await tab.open(file)


async def assert_quiet(tab: Tab) -> None:
    """Nothing was logged, forbidden or asked for but the page itself."""
    assert tab.logged == []
    assert [one for one in tab.asked if not one.startswith(("file:", "data:"))] == []
    assert sum(one.startswith("file:") for one in tab.asked) == 1
    assert await tab.run("window.violations || []") == []


async def text(tab: Tab, selector: str = "body") -> str:
    return await tab.run(f"document.querySelector({selector!r}).innerText")
