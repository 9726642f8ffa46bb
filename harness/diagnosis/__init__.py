"""The trace doctor: deterministic, offline findings about any run, ours or imported."""

from __future__ import annotations

from harness.diagnosis.case import AgentCase, Case, Detector
from harness.diagnosis.examine import Diagnosis, examine
from harness.diagnosis.findings import Finding, NotMeasurable, Price, Quote, Remedy, Severity, Where

__all__ = [
    "AgentCase",
    "Case",
    "Detector",
    "Diagnosis",
    "Finding",
    "NotMeasurable",
    "Price",
    "Quote",
    "Remedy",
    "Severity",
    "Where",
    "examine",
]
