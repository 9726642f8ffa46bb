"""Context pollution: what fills windows without helping anybody."""

from __future__ import annotations

from harness.diagnosis.case import Detector
from harness.diagnosis.pollution.results import RESULTS

POLLUTION: tuple[Detector, ...] = (*RESULTS,)
