"""The spans of one trace as a tree, whatever was lost, doubled or tangled on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from harness.foreign.seen import Seen, SpanKind

_MERGED = (
    "agent",
    "conversation",
    "model",
    "provider",
    "instructions",
    "inputs",
    "outputs",
    "definitions",
    "tool",
    "call_id",
    "arguments",
    "result",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "finish",
    "error_type",
    "error",
    "own",
)


class Tree:
    """Spans by id, in order of time, each with a parent that exists or none; `notes` say what was mended."""

    def __init__(self, spans: Iterable[Seen]) -> None:
        self.spans: dict[str, Seen] = {}
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        for span in spans:
            known = self.spans.get(span.id)
            if known is not None:
                self.counts["doubled"] += 1
                _fill(span, known)
            self.spans[span.id] = span
        self._above: dict[tuple[str, frozenset[SpanKind]], Seen | None] = {}
        self._mend_parents()
        self.ordered = sorted(self.spans.values(), key=_when)
        self._merge_doubles()
        self._note()

    def parent(self, span: Seen) -> Seen | None:
        """Return the parent of a span, if it is here."""
        return self.spans.get(span.parent) if span.parent else None

    def above(self, span: Seen, kinds: frozenset[SpanKind]) -> Seen | None:
        """Return the nearest span above of one of these kinds."""
        way: list[str] = []
        found = self.parent(span)
        while found is not None and found.kind not in kinds:
            known = self._above.get((found.id, kinds), found)
            if known is not found:
                found = known
                break
            way.append(found.id)
            found = self.parent(found)
        for identity in way:
            self._above[identity, kinds] = found
        return found

    def root(self, span: Seen) -> Seen:
        """Return the topmost span above, or the span itself."""
        top = span
        while (parent := self.parent(top)) is not None:
            top = parent
        return top

    def chain(self, span: Seen, until: Seen | None, wanted: Callable[[Seen], bool]) -> Seen | None:
        """Return the first span above, below `until`, that is `wanted`."""
        found = self.parent(span)
        while found is not None and found is not until:
            if wanted(found):
                return found
            found = self.parent(found)
        return None

    def _mend_parents(self) -> None:
        done: set[str] = set()
        for span in list(self.spans.values()):
            way: dict[str, None] = {}
            at: Seen | None = span
            while at is not None and at.id not in done:
                if at.id in way:
                    first = min((self.spans[one] for one in list(way)[list(way).index(at.id) :]), key=_when)
                    first.parent = ""
                    self.counts["cycles"] += 1
                    break
                way[at.id] = None
                if at.parent and at.parent not in self.spans:
                    at.parent = ""
                    self.counts["orphans"] += 1
                at = self.parent(at)
            done.update(way)

    def _merge_doubles(self) -> None:
        """Make one of spans that tell of the same thing: a tool call and its MCP call, a model call told twice."""
        within: frozenset[SpanKind] = frozenset({"model", "tool", "agent"})
        models = [span for span in self.ordered if span.kind == "model"]
        thinking = {outer.id for span in models if (outer := self.above(span, within)) is not None}
        for span in self.ordered:
            if span.kind not in ("model", "tool"):
                continue
            outer = self.above(span, within)
            if outer is None or outer.kind != span.kind:
                continue
            if span.kind == "tool" and outer.id in thinking and not span.is_mcp:
                continue  # a model runs within the outer one, which is an agent under another name
            if span.kind == "tool" and not (
                span.is_mcp
                or outer.is_mcp
                or (span.call_id and span.call_id == outer.call_id)
                or _same_tool(span, outer)
            ):
                span.kind = "other"
                self.counts["inner"] += 1
                continue
            if span.kind == "tool" and not _same_tool(span, outer):
                continue
            _fill(outer, span)
            outer.is_mcp = outer.is_mcp or span.is_mcp
            span.kind = "other"
            self._above.clear()
            self.counts["merged"] += 1

    def _note(self) -> None:
        told = {
            "doubled": "spans came twice and were made one",
            "orphans": "spans name a parent that is not in the trace",
            "cycles": "cycles of parents were cut",
            "inner": "tool calls made by tools, not by a model, were left out",
            "merged": "spans tell of a call that another span tells of too, and were made one with it",
        }
        self.notes += [f"{self.counts[what]} {text}" for what, text in told.items() if self.counts[what]]


def _same_tool(span: Seen, outer: Seen) -> bool:
    one, other = span.tool.rpartition(".")[2], outer.tool.rpartition(".")[2]
    return one == other or one.endswith(other) or other.endswith(one)


def _fill(into: Seen, other: Seen) -> None:
    """Take over from another span what this one does not say."""
    for name in _MERGED:
        if getattr(into, name) in (None, "", ()):
            setattr(into, name, getattr(other, name))
    into.failed = into.failed or other.failed


def _when(span: Seen) -> tuple[float, int]:
    return (span.start if span.start is not None else float("inf"), span.order)
