"""Tool ordering: what was called too early, too late, twice, or one after the other for no reason."""

from __future__ import annotations

from harness.diagnosis.case import Detector

ORDERING: tuple[Detector, ...] = ()
