"""Server blocks as Claude Desktop, Cursor and VS Code write them.

VS Code calls the block `servers` and puts `inputs` beside it; each program has keys of its own
that say nothing about how to reach a server. They are taken out before validation, so that a
pasted block loads as it is and the frozen specs hold only what means something here.
"""

from __future__ import annotations

from harness.errors import Problem
from harness.team.nodes import Entry, Mapping, Scalar

IGNORED_SERVER_KEYS = {
    "alwaysAllow": "Ignored: tools another program calls without asking. Here `permissions` decides.",
    "autoApprove": "Ignored: tools another program calls without asking. Here `permissions` decides.",
    "description": "Ignored: a note for people.",
    "dev": "Ignored: development settings of VS Code.",
    "gallery": "Ignored: where VS Code found the server.",
    "icon": "Ignored: a picture another program shows.",
    "timeout": "Ignored: programs disagree about its unit. Here `timeouts` decides.",
    "version": "Ignored: the version VS Code recorded.",
}
"""Keys of other programs, with the description that the JSON Schema gives them."""

SERVERS = "The MCP servers under the name VS Code uses; the same as `mcpServers`."
INPUTS = "Ignored: what VS Code asks a person for; `${input:some-id}` is taken from the variable SOME_ID."


def adopted(root: Mapping) -> tuple[Mapping, list[Problem]]:
    """Return the tree with servers under `mcpServers` only and without keys that mean nothing here."""
    problems: list[Problem] = []
    servers = root.entries.get("servers")
    if servers and "mcpServers" in root.entries:
        first = root.entries["mcpServers"].key.mark
        hint = f"keep one of them; 'mcpServers' is in line {first.line}"
        problems.append(
            servers.key.mark.problem("'servers' and 'mcpServers' are two names for one thing", hint)
        )
    entries: dict[str, Entry] = {}
    for name, entry in root.entries.items():
        if name == "servers":
            entries.setdefault(
                "mcpServers", Entry(Scalar("mcpServers", "mcpServers", entry.key.mark), entry.value)
            )
        elif name != "inputs":
            entries[name] = entry
    if (block := entries.get("mcpServers")) and isinstance(block.value, Mapping):
        entries["mcpServers"] = Entry(block.key, _without_ignored(block.value))
    return Mapping(entries, root.mark), problems


def _without_ignored(servers: Mapping) -> Mapping:
    for entry in servers.entries.values():
        if isinstance(entry.value, Mapping):
            servers = servers.having(entry.key, entry.value.without(*IGNORED_SERVER_KEYS))
    return servers
