"""Failure attribution: where a failed run first went wrong."""

from __future__ import annotations

from harness.diagnosis.case import Detector

ATTRIBUTION: tuple[Detector, ...] = ()
