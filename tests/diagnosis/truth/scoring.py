"""How good detectors are: what they find of what was put in, and what they find besides.

A finding counts as right if it names any call, entry or turn of the defect (or the agent run, for defects that
are about it as a whole), and as false if it names none. What a clean run naturally holds (`Script.known`) is
neither, as long as it is only worth an `info`. Beside the runs with a defect stand runs with nothing but
look-alikes: there whatever names one of them is false too. For the origin of a failure only the surest finding
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.diagnosis import Detector, Finding, examine
from harness.diagnosis.detectors import DETECTORS
from harness.record import RunRecord

from .bases import BASES
from .building import Built, Place, build
from .defects import DEFECTS, DISGUISES
from .families import FAMILIES
from .prose import Mint
from .script import SIZES, Agent, Injected, Label, Script, Size

Bases = Mapping[str, Callable[[int], Script]]


@dataclass(frozen=True)
class Sample:
    """A run with one defect, or with only what looks like it."""

    name: str
    detector: str
    size: Size | None
    """None without a defect."""
    injected: Injected
    disguises: tuple[Label, ...] = ()
    """Where the look-alikes are."""


@dataclass
class Score:
    """One detector, measured."""

    detector: str
    injected: int = 0
    found: int = 0
    false: int = 0
    by_size: dict[Size, list[int]] = field(default_factory=lambda: {size: [0, 0] for size in SIZES})
    """Found and injected."""
    missed: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

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
    examples: list[str] = field(default_factory=list[str])

    @property
    def per_20(self) -> float:
        return 20 * self.alarms / self.runs if self.runs else 0.0


def detector_named(name: str) -> Detector | None:
    """Return a detector of the doctor, or None while there is none of that name."""
    return next((detector for detector in DETECTORS if detector.name == name), None)


def samples(detector: str, seeds: Iterable[int], bases: Bases = BASES) -> Iterator[Sample]:
    """Yield runs with one defect each, on every base that can hold it, at every size; and runs without any.

    The former carry up to two look-alikes of the defect, the latter all of them.
    """
    for seed in seeds:
        for base, make in bases.items():
            name = f"{base} {seed}"
            for size in SIZES:
                mint = Mint(f"{detector} {name} {size}", pool=1)
                few = mint.sample(DISGUISES[detector], min(len(DISGUISES[detector]), mint.randint(0, 2)))
                injected = DEFECTS[detector](_disguised(make(seed), few, mint), mint, size)
                if injected is not None:
                    yield Sample(f"{name} {size}", detector, size, injected)
            if DISGUISES[detector]:
                clean = make(seed)
                mint = Mint(f"{detector} {name}", pool=1)
                script = _disguised(clean, DISGUISES[detector], mint)
                hidden = tuple(_added(detector, clean, script))
                yield Sample(f"{name} look-alikes", detector, None, Injected(script, ()), hidden)


def _disguised(script: Script, disguises: Iterable[Callable[..., Script | None]], mint: Mint) -> Script:
    for disguise in disguises:
        script = disguise(script, mint) or script
    return script


def _added(detector: str, clean: Script, script: Script) -> Iterator[Label]:
    """Yield where a script differs from another: what agents do more, else turns, else agents that are different."""
    for before, agent in zip(clean.agents, script.agents, strict=True):
        marks = _marks(agent) - _marks(before)
        marks = marks or {turn.mark for turn in agent.turns if turn not in before.turns}
        if marks or agent != before:
            yield Label(detector, agent.path, frozenset(marks))


def _marks(agent: Agent) -> set[str]:
    turns = {turn.mark for turn in agent.turns}
    return turns | {call.id for call in agent.calls()} | {one.mark for t in agent.turns for one in t.before}


def measure(detector: Detector, taken: Iterable[Sample]) -> Score:
    """Return how a detector does; runs whose source does not carry what it needs are passed over."""
    score = Score(detector.name)
    for sample in taken:
        built = build(sample.injected.script)
        if not built.record.lacks(*detector.needs):
            judge(score, sample, built, examine(built.record, detectors=[detector]).findings)
    return score


def judge(score: Score, sample: Sample, built: Built, findings: Sequence[Finding]) -> None:
    """Count the findings of one run."""
    if sample.detector == "failure-origin" and findings:
        findings = [max(findings, key=lambda one: one.confidence)]
    places = [built.place(label) for label in sample.injected.labels]
    known = [built.place(label) for label in sample.injected.script.known if label.detector == score.detector]
    hidden = [built.place(label) for label in sample.disguises]
    for label, place in zip(sample.injected.labels, places, strict=True):
        assert sample.size is not None
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
        is_natural = sample.size is None or any(touches(finding, place) for place in known)
        if finding.severity == "info" and is_natural and not any(touches(finding, one) for one in hidden):
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


def alarms(runs: Iterable[tuple[str, RunRecord]], detectors: Sequence[Detector] = DETECTORS) -> Alarms:
    """Return what the detectors say about runs without a defect."""
    found = Alarms()
    for name, record in runs:
        found.runs += 1
        for finding in examine(record, detectors=detectors).findings:
            if finding.severity != "info":
                found.alarms += 1
                found.examples.append(f"{name}: {described(finding)}")
    return found


def written(seeds: Iterable[int]) -> Iterator[tuple[str, RunRecord]]:
    """Yield written runs without a defect."""
    for seed in seeds:
        for family, make in FAMILIES.items():
            yield f"{family} {seed}", build(make(seed)).record


def disguised(seeds: Iterable[int], bases: Bases = BASES) -> Iterator[tuple[str, RunRecord]]:
    """Yield runs without a defect that hold three things which look like one."""
    every = list(dict.fromkeys(one for several in DISGUISES.values() for one in several))
    for seed in seeds:
        for base, make in bases.items():
            mint = Mint(f"disguises {base} {seed}", pool=1)
            three = sorted(mint.sample(every, 3), key=every.index)
            yield f"{base} {seed}", build(_disguised(make(seed), three, mint)).record


def described(finding: Finding) -> str:
    """Return a finding in one line."""
    where = finding.where
    places = [*where.calls, *where.entries, *(f"turn {turn}" for turn in where.turns)]
    return f"[{finding.severity}] {finding.detector}: {finding.what} ({where.agent}: {', '.join(places[:4])})"
