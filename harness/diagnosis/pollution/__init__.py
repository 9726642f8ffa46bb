"""Context pollution: what fills windows without helping anybody."""

from __future__ import annotations

from harness.diagnosis.case import Detector
from harness.diagnosis.pollution.content import CONTENT
from harness.diagnosis.pollution.results import RESULTS
from harness.diagnosis.pollution.window import WINDOW

POLLUTION: tuple[Detector, ...] = (*RESULTS, *WINDOW, *CONTENT)
