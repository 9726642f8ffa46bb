"""Tool ordering: what was called too early, too late, twice, or one after the other for no reason."""

from __future__ import annotations

from harness.diagnosis.case import Detector
from harness.diagnosis.ordering.repetition import REPETITION
from harness.diagnosis.ordering.support import SUPPORT
from harness.diagnosis.ordering.verification import VERIFICATION
from harness.diagnosis.ordering.work import WORK

ORDERING: tuple[Detector, ...] = (*SUPPORT, *REPETITION, *VERIFICATION, *WORK)
