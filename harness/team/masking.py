"""Keys and tokens that are written out in a team file, kept out of what is stored.

A pasted server block often holds a token as it is. The stored form of a team names a variable
in its place, so reading it back says which variable to set instead of leaking the value.
"""

from __future__ import annotations

import re
from dataclasses import replace

from harness.team.interpolation import SHORTEST_SECRET
from harness.team.nodes import Node, Place, Scalar, rewritten
from harness.team.places import is_secret


def masked(root: Node) -> tuple[Node, set[str]]:
    """Return the tree with written-out secrets replaced by variables, and those secrets.

    Secret is an `api_key`, and a header or environment variable whose name says so; values
    shorter than six characters, such as `EMPTY`, protect nothing and stay.
    """
    found: set[str] = set()

    def change(scalar: Scalar, place: Place) -> Scalar:
        text = scalar.value
        if not isinstance(text, str) or not is_secret(place) or len(text) < SHORTEST_SECRET or "${" in text:
            return scalar
        found.add(text)
        if text.lower().startswith("bearer "):
            found.add(text[7:].strip())
        variable = "${" + re.sub(r"[^A-Za-z0-9]", "_", "_".join(map(str, place))).upper() + "}"
        return replace(scalar, value=variable, text=variable)

    return rewritten(root, change), {secret for secret in found if len(secret) >= SHORTEST_SECRET}
