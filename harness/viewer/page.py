"""The document: values, styles and scripts in one file that asks the network for nothing.

The policy in it allows the scripts and styles that are in it, by their hashes, and images that the page
draws itself; everything else is refused, markup made from strings included (trusted types). What comes
from models and tools travels as JSON and becomes text nodes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, cast

import orjson

from harness.diagnosis import Diagnosis
from harness.viewer.alignment import alignment
from harness.viewer.picture import COLUMNS, KINDS, STALE, UNUSED, picture
from harness.viewer.texts import Texts, storable

VENDOR = tuple(
    ["array", "color", "dispatch", "ease", "interpolate", "selection", "timer", "drag", "transition", "zoom"]
)
"""Modules of d3, each after those it needs."""

SCRIPTS = tuple(
    [
        "values",
        "dom",
        "text",
        "chart",
        "flow",
        "lanes",
        "strata",
        "graph",
        "detail",
        "findings",
        "search",
        "main",
    ]
)

_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


def page(diagnosis: Diagnosis, *, other: Diagnosis | None = None) -> str:
    """Return one HTML page over a run, or over two runs side by side.

    Reads nothing but the package's own files.
    """
    texts = Texts()
    runs = [picture(one, texts) for one in (diagnosis, other) if one is not None]
    values = {
        "columns": COLUMNS,
        "kinds": KINDS,
        "unused": sorted(UNUSED),
        "stale": sorted(STALE),
        "runs": runs,
        "diff": alignment(diagnosis.record, other.record) if other is not None else None,
    }
    names = " and ".join(storable(one.record.name or one.record.id) for one in (diagnosis, other) if one)
    style, scripts = _style(), _scripts()
    # The first block holds what the head shows; the page draws itself before the rest has been read.
    blocks = [_block(f"texts-{first}", block, kind="texts") for first, block in texts.chunks()]
    parts = [
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy(scripts, style)}">',
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        '<meta name=referrer content=no-referrer><link rel=icon href="data:,">',
        f"<title>{escape(names)} · harness view</title>\n<style>{style}</style></head>\n<body>",
        "<div id=app><noscript>This page draws itself and needs its own scripts.</noscript></div>\n",
        _block("values", values),
        blocks[0],
        *(f"<script>{script}</script>\n" for script in scripts),
        *blocks[1:],
        "</body></html>\n",
    ]
    return "".join(parts)


def policy(scripts: tuple[str, ...], style: str) -> str:
    """Return the content security policy that allows exactly these scripts and this style."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def embedded(value: object) -> str:
    """Return JSON that can stand in a script element: nothing in it ends the element or a line."""
    try:
        encoded = orjson.dumps(value, default=str)
    except TypeError:
        encoded = orjson.dumps(_storable(value), default=str)
    for old, new in (*_ESCAPES, *_SEPARATORS):
        encoded = encoded.replace(old, new)
    return encoded.decode()


def _storable(value: Any) -> Any:
    """Return a copy whose strings hold no lone surrogates and whose keys are strings."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _storable(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in cast("Sequence[Any]", value)]
    return value


def _block(name: str, value: object, *, kind: str = "values") -> str:
    return f'<script type="application/json" class={kind} id={name}>{embedded(value)}</script>\n'


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    return files("harness.viewer").joinpath("assets", "page.css").read_text("utf-8")


@cache
def _scripts() -> tuple[str, ...]:
    """Return the libraries and our own script, whose files share one scope."""
    root = files("harness.viewer")
    d3 = [root.joinpath("vendor", f"d3-{name}.min.js").read_text("utf-8") for name in VENDOR]
    dagre = root.joinpath("vendor", "dagre.min.js").read_text("utf-8")
    own = [root.joinpath("assets", f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    return "\n".join(d3), dagre, '(() => {\n"use strict";\n' + "\n".join(own) + "\n})();"
