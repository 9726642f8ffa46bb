"""Whether the models that sum up windows are in the file."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import Problem
from harness.team.nodes import Mapping, Node, Sequence, mapping_at, text_in
from harness.team.spelling import did_you_mean, shortened


def check_contexts(root: Mapping) -> Iterator[Problem]:
    """Yield a problem for each strategy that names a model which is not there."""
    models = set(mapping_at(root, "models").entries) if "models" in root.entries else {"default"}
    agents = mapping_at(root, "agents")
    for owner in (root, *(mapping_at(agents, name) for name in agents.entries)):
        for model in _summarisers(owner):
            name = text_in(model)
            if name is not None and name not in models:
                hint = did_you_mean(name, models, what="models")
                yield model.mark.problem(f"there is no model '{shortened(name)}'", hint)


def _summarisers(owner: Mapping) -> Iterator[Node]:
    strategies = mapping_at(owner, "context").get("strategies")
    for strategy in strategies.items if isinstance(strategies, Sequence) else ():
        model = mapping_at(strategy, "summarise").get("model")
        if model is not None:
            yield model
