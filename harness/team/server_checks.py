"""Whether the keys of one server fit together: exactly one way to reach it, and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import Problem
from harness.team.interpolation import URL
from harness.team.nodes import Entry, Mapping, Node, Sequence, text_in

_SHAPES = ("module", "command", "url")
_BELONGS = {
    "env": ("command",),
    "envFile": ("command",),
    "cwd": ("command",),
    "headers": ("url",),
    "args": ("module", "command"),
}
_TRANSPORTS = {"stdio": "command", "http": "url", "streamable-http": "url"}
_SSE = "the transport 'sse' is deprecated in MCP and not supported"


def check_servers(servers: Mapping) -> Iterator[Problem]:
    """Yield what does not fit together in each server."""
    for name, entry in servers.entries.items():
        if not isinstance(entry.value, Mapping):
            continue
        shapes = [shape for shape in _SHAPES if shape in entry.value.entries]
        if len(shapes) == 1:
            yield from _check_shape(name, entry.value, shapes[0])
        else:
            yield _no_single_shape(name, entry, shapes)


def _no_single_shape(name: str, entry: Entry, shapes: list[str]) -> Problem:
    if shapes and isinstance(entry.value, Mapping):
        mark = entry.value.entries[shapes[1]].key.mark
        return mark.problem(f"mcpServers.{name} has both '{shapes[0]}' and '{shapes[1]}'", "keep one of them")
    hint = "write 'command' (a program), 'url' (a server over HTTP) or 'module' (a Python module)"
    return entry.key.mark.problem(f"mcpServers.{name} does not say how to reach the server", hint)


def _check_shape(name: str, server: Mapping, shape: str) -> Iterator[Problem]:
    for key, wanted in _BELONGS.items():
        if key in server.entries and shape not in wanted and not _is_empty(server.entries[key].value):
            message = f"'{key}' belongs to a {' or '.join(wanted)}, and this server has a '{shape}'"
            yield server.entries[key].key.mark.problem(message, f"delete '{key}'")
    yield from _check_args(server.get("args"), shape)
    yield from _check_type(server.get("type"), shape)
    url = server.get("url")
    if url is not None and (text := text_in(url)) is not None and not URL.match(text):
        yield url.mark.problem("a url begins with http:// or https://", "as in: https://example.com/mcp")


def _check_args(args: Node | None, shape: str) -> Iterator[Problem]:
    if args is None or _is_empty(args):
        return
    if shape == "module" and isinstance(args, Sequence):
        yield args.mark.problem("the args of a module are a mapping, got a list", "write {name: value}")
    if shape == "command" and isinstance(args, Mapping):
        yield args.mark.problem("the args of a command are a list, got a mapping", "write [first, second]")


def _check_type(kind: Node | None, shape: str) -> Iterator[Problem]:
    transport = text_in(kind)
    if kind is None or transport is None:
        return
    if transport == "sse":
        yield kind.mark.problem(_SSE, "most servers offer the same address without /sse: write type: http")
    elif transport in _TRANSPORTS and _TRANSPORTS[transport] != shape:
        message = f"type {transport} wants a '{_TRANSPORTS[transport]}', and this server has a '{shape}'"
        yield kind.mark.problem(message, "delete 'type': it follows from the rest")


def _is_empty(node: Node) -> bool:
    return (isinstance(node, Sequence) and not node.items) or (isinstance(node, Mapping) and not node.entries)
