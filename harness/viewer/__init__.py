"""One self-contained page over a run: its plan, its agents over time, every window, every finding.

`picture` makes of a diagnosis the plain values that the page draws, `path` its critical path, `alignment`
lays two runs beside each other, `page` puts values, scripts and styles into one HTML document.
"""

from __future__ import annotations

from harness.viewer.page import page

__all__ = ["page"]
