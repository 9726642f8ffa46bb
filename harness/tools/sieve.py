"""Keeps one malformed tool from hiding all the others of its server.

The SDK validates a listing as a whole, so a single tool without a schema fails it. A sieve sits in
the transport; once switched on, it takes out of each listing what would not pass, and remembers it.
"""

from __future__ import annotations

from typing import Any, cast

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse, Tool
from mcp_types.methods import validate_server_result
from pydantic import ValidationError

_METHOD = "tools/list"


class ToolSieve:
    """Takes malformed tools out of the listings that pass through a transport, once it has a `version`."""

    def __init__(self) -> None:
        self.version: str | None = None
        """The protocol version whose rules a tool must pass; None lets everything through."""
        self.dropped: list[str] = []
        """Names of the tools taken out, or their place in the listing where they have none."""

    def sift(self, message: SessionMessage) -> None:
        """Take malformed tools out of `message`, in place, if it is a listing."""
        if self.version is None or not isinstance(message.message, JSONRPCResponse):
            return
        result = message.message.result
        tools = result.get("tools")
        if not isinstance(tools, list) or "content" in result:
            return
        listed = cast("list[Any]", tools)
        kept: list[Any] = []
        for place, tool in enumerate(listed):
            if self._passes(result, tool):
                kept.append(tool)
            else:
                self.dropped.append(_name(tool, place))
        result["tools"] = kept

    def _passes(self, result: dict[str, Any], tool: Any) -> bool:
        assert self.version is not None
        try:
            validate_server_result(_METHOD, self.version, {**result, "tools": [tool]})
            return bool(Tool.model_validate(tool, by_name=False).name)
        except (ValidationError, KeyError):
            return False


def _name(tool: Any, place: int) -> str:
    name = cast("dict[str, Any]", tool).get("name") if isinstance(tool, dict) else None
    return name if name and isinstance(name, str) else f"#{place + 1}"
