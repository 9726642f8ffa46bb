"""The detectors, in the order of the documents."""

from __future__ import annotations

from harness.diagnosis.attribution import ATTRIBUTION
from harness.diagnosis.case import Detector
from harness.diagnosis.ordering import ORDERING
from harness.diagnosis.pollution import POLLUTION

DETECTORS: tuple[Detector, ...] = (*POLLUTION, *ORDERING, *ATTRIBUTION)
