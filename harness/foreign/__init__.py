"""Runs of other frameworks, read from the traces they export, as the same record ours give.

`formats` tells what a file is. One file per wire format turns it into spans or messages (`otlp_json`,
`otlp_protobuf`, `atif`, `inspect_log`, `openai_messages`); `conventions` is the table of everybody's names
for one thing, `seen` what a span says by it, `tree` mends parents, `agents` finds who did what, `matching`
ties tool spans to calls, and `run_of_spans` puts the record together.
"""

from __future__ import annotations

from harness.foreign.formats import read_records

__all__ = ["read_records"]
