"""Keys and tokens that are written out in a team file, kept out of what is stored.

A pasted server block often holds a token as it is. The stored form of a team names a variable
in its place, so reading it back says which variable to set instead of leaking the value.
"""

from __future__ import annotations

import re
from dataclasses import replace

from harness.team.credentials import written_out
from harness.team.interpolation import SHORTEST_SECRET
from harness.team.nodes import Node, Place, Scalar, rewritten


def masked(root: Node) -> tuple[Node, set[str]]:
    """Return the tree with written-out secrets replaced by variables, and those secrets.

    Secret is an `api_key`, a header, environment variable, argument or field whose name says so, and
    the password or key in a url; values shorter than six characters, such as `EMPTY`, protect nothing
    and stay.
    """
    found: set[str] = set()
    before = ""

    def change(scalar: Scalar, place: Place) -> Scalar:
        nonlocal before
        text = scalar.value
        if not isinstance(text, str) or "${" in text:
            before = ""
            return scalar
        parts = [part for part in written_out(text, place, before) if len(part) >= SHORTEST_SECRET]
        before = text
        if not parts:
            return scalar
        variable = "${" + re.sub(r"[^A-Za-z0-9]", "_", "_".join(map(str, place))).upper() + "}"
        for number, part in enumerate(dict.fromkeys(parts)):
            found.add(part)
            if part.lower().startswith("bearer "):
                found.add(part[7:].strip())
            text = text.replace(part, variable if number == 0 else f"{variable[:-1]}_{number + 1}}}")
        return replace(scalar, value=text, text=text)

    return rewritten(root, change), {secret for secret in found if len(secret) >= SHORTEST_SECRET}
