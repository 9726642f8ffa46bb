"""How good detectors are: what they find of what was put in, and what they find besides.

A finding counts as right if it names any call, entry or turn of the defect (or the agent run, for defects that
are about it as a whole), and as false if it names none. What a clean run naturally holds (`Script.known`) is
neither, as long as it is only worth an `info`. For the origin of a failure only the surest finding counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.diagnosis import Detector, Finding, examine
from harness.diagnosis.detectors import DETECTORS

from .building import Built, Place, build
from .defects import DEFECTS, DISGUISES
from .families import FAMILIES
from .prose import Mint
from .script import SIZES, Injected, Script, Size

Bases = dict[str, Callable[[int], Script]]


@dataclass(frozen=True)
class Sample:
    """A run with one defect."""

    detector: str
    family: str
    seed: int
    size: Size
    injected: Injected

    @property
    def name(self) -> str:
        return f"{self.family} {self.seed} {self.size}"


@dataclass
class Score:
    """One detector, measured."""

    detector: str
    injected: int = 0
    found: int = 0
    false: int = 0
    by_size: dict[Size, list[int]] = field(default_factory=lambda: {size: [0, 0] for size in SIZES})
    """Found and injected."""
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.injected if self.injected else 0.0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found else 0.0


@dataclass
class Alarms:
    """Findings of severity `warning` or above in runs without a defect."""

    runs: int = 0
    alarms: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def per_20(self) -> float:
        return 20 * self.alarms / self.runs if self.runs else 0.0


def detector_named(name: str) -> Detector | None:
    """Return a detector of the doctor, or None while there is none of that name."""
    return next((detector for detector in DETECTORS if detector.name == name), None)


def samples(detector: str, seeds: Iterable[int], bases: Bases | None = None) -> Iterator[Sample]:
    """Yield runs with one defect each, in every family that it can be put into, at every size.

    Each carries up to two disguises of its detector, which are harmless.
    """
    for seed in seeds:
        for family, make in (bases or FAMILIES).items():
            for size in SIZES:
                mint = Mint(f"{detector} {family} {seed} {size}", pool=1)
                script = make(seed)
                for disguise in _some(DISGUISES[detector], mint):
                    script = disguise(script, mint) or script
                injected = DEFECTS[detector](script, mint, size)
                if injected is not None:
                    yield Sample(detector, family, seed, size, injected)


def _some(
    disguises: Sequence[Callable[..., Script | None]], mint: Mint
) -> list[Callable[..., Script | None]]:
    return mint.sample(list(disguises), min(len(disguises), mint.randint(0, 2)))


def measure(detector: Detector, taken: Iterable[Sample]) -> Score:
    """Return how a detector does on runs with its defect."""
    score = Score(detector.name)
    for sample in taken:
        built = build(sample.injected.script)
        findings = [one for one in examine(built.record, detectors=[detector]).findings]
        judge(score, sample, built, findings)
    return score


def judge(score: Score, sample: Sample, built: Built, findings: Sequence[Finding]) -> None:
    """Count the findings of one run."""
    if sample.detector == "failure-origin" and findings:
        findings = [max(findings, key=lambda one: one.confidence)]
    places = [built.place(label) for label in sample.injected.labels]
    known = [built.place(label) for label in sample.injected.script.known if label.detector == score.detector]
    for label, place in zip(sample.injected.labels, places, strict=True):
        found = any(touches(finding, place) for finding in findings)
        score.injected += 1
        score.found += found
        score.by_size[sample.size][0] += found
        score.by_size[sample.size][1] += 1
        if not found:
            where = (
                sorted(place.calls) + sorted(place.entries) + [f"turn {turn}" for turn in sorted(place.turns)]
            )
            score.missed.append(f"{sample.name}: {label.agent} {', '.join(where) or 'as a whole'}")
    for finding in findings:
        if any(touches(finding, place) for place in places):
            continue
        if finding.severity == "info" and any(touches(finding, place) for place in known):
            continue
        score.false += 1
        score.wrong.append(f"{sample.name}: {described(finding)}")


def touches(finding: Finding, place: Place) -> bool:
    """Return whether a finding names anything of a place."""
    where = finding.where
    if place.whole:
        return where.agent in place.agents
    return bool(
        place.calls & set(where.calls)
        or place.entries & set(where.entries)
        or (where.agent in place.agents and place.turns & set(where.turns))
    )


def alarms(runs: Iterable[tuple[str, Built]], detectors: Sequence[Detector] = DETECTORS) -> Alarms:
    """Return what the detectors say about runs without a defect."""
    found = Alarms()
    for name, built in runs:
        found.runs += 1
        for finding in examine(built.record, detectors=detectors).findings:
            if finding.severity != "info":
                found.alarms += 1
                found.examples.append(f"{name}: {described(finding)}")
    return found


def clean_runs(seeds: Iterable[int], *, disguised: bool = False) -> Iterator[tuple[str, Built]]:
    """Yield runs without a defect; with `disguised` each holds three things that look like one."""
    every = list(dict.fromkeys(one for several in DISGUISES.values() for one in several))
    for seed in seeds:
        for family, make in FAMILIES.items():
            script = make(seed)
            if disguised:
                mint = Mint(f"disguises {family} {seed}", pool=1)
                for disguise in sorted(mint.sample(every, 3), key=every.index):
                    script = disguise(script, mint) or script
            yield f"{family} {seed}", build(script)


def described(finding: Finding) -> str:
    """Return a finding in one line."""
    where = finding.where
    places = [*where.calls, *where.entries, *(f"turn {turn}" for turn in where.turns)]
    return f"[{finding.severity}] {finding.detector}: {finding.what} ({where.agent}: {', '.join(places[:4])})"
