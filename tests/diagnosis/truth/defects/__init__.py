"""Defects by the name of the detector that is to find them, and what looks like them and is harmless."""

from __future__ import annotations

from . import agents, failure, ordering, values, waste, windows
from .kit import Disguise, Inject

DEFECTS: dict[str, Inject] = {
    "unused-result": waste.unused_result,
    "duplicate-read": waste.duplicate_read,
    "superseded-result": waste.superseded_result,
    "stale-argument": values.stale_argument,
    "oversized-result": waste.oversized_result,
    "tool-overhead": waste.tool_overhead,
    "error-residue": waste.error_residue,
    "leakage": agents.leakage,
    "report-bloat": agents.report_bloat,
    "contradiction": values.contradiction,
    "poisoning": values.poisoning,
    "lost-identifier": windows.lost_identifier,
    "thinking-residue": windows.thinking_residue,
    "prefix-break": windows.prefix_break,
    "resend-factor": windows.resend_factor,
    "window-pressure": windows.window_pressure,
    "order-contract": ordering.order_contract,
    "used-before-available": values.used_before_available,
    "unsupported-argument": values.unsupported_argument,
    "serialised-calls": ordering.serialised_calls,
    "loop": ordering.loop,
    "cycle": ordering.cycle,
    "unverified-edit": ordering.unverified_edit,
    "overlapping-briefs": agents.overlapping_briefs,
    "failure-origin": failure.failure_origin,
}

_REPEATS = (waste.polling, waste.pages, waste.read_after_write, ordering.mended_step_by_step)
_READS = (waste.used_by_one_value, waste.used_in_words)

DISGUISES: dict[str, tuple[Disguise, ...]] = {
    "unused-result": (*_READS, waste.nothing_found, waste.long_but_used),
    "duplicate-read": (*_REPEATS, waste.read_again_after_clearing, ordering.check_unchanged_by_edits),
    "superseded-result": (waste.replaced_by_newer, waste.pages, values.other_things),
    "stale-argument": (values.fresh_argument, values.same_in_both, waste.pages),
    "oversized-result": (*_READS, waste.long_but_used),
    "tool-overhead": (waste.few_spare_tools,),
    "error-residue": (waste.short_error, waste.error_cleared),
    "leakage": (agents.same_document, agents.told_in_the_brief, agents.long_report_used),
    "report-bloat": (agents.long_report_used, agents.same_form),
    "contradiction": (values.changed_by_a_write, values.other_things, values.other_spelling, waste.polling),
    "poisoning": (values.named_by_the_agent, values.computed_argument, values.derived_argument),
    "lost-identifier": (windows.kept_identifier, waste.replaced_by_newer),
    "thinking-residue": (windows.thinking_at_the_end,),
    "prefix-break": (windows.cleared_at_the_end,),
    "resend-factor": (),
    "order-contract": (ordering.kept_contract,),
    "used-before-available": (values.told_in_time, ordering.chained_calls, ordering.parallel_calls),
    "unsupported-argument": (
        values.computed_argument,
        values.derived_argument,
        values.free_text_argument,
        values.named_by_the_agent,
    ),
    "serialised-calls": (
        ordering.parallel_calls,
        ordering.chained_calls,
        ordering.mended_step_by_step,
        waste.pages,
    ),
    "loop": (*_REPEATS, ordering.check_unchanged_by_edits),
    "cycle": (*_REPEATS, ordering.check_unchanged_by_edits),
    "unverified-edit": (ordering.verified_edit,),
    "overlapping-briefs": (agents.same_form,),
    "failure-origin": (failure.recovered_error,),
    "window-pressure": (windows.half_full,),
}
"""Clean runs carry them too; a run with a defect carries up to two of its detector.

What looks at the size of the whole comes last.
"""

__all__ = ["DEFECTS", "DISGUISES", "Disguise", "Inject"]
