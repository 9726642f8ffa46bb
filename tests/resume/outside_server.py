"""An MCP server over stdio through which the outside world is reached; dies with whoever started it.

    python outside_server.py WORLD

Written by hand, so that it starts in no time. It speaks the protocol of 2025-11-25.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from outside_world import World

KEY = "harness/idempotency-key"

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}},
    "required": ["label"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": name, "description": name, "inputSchema": SCHEMA} for name in ("look", "put", "send", "pay")
]


def answer(world: World, method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "outside", "version": "1"},
            }
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            key = (params.get("_meta") or {}).get(KEY, "")
            text = world.act(params["arguments"]["label"], key)
            return {"content": [{"type": "text", "text": text}]}
        case _:
            return {}


def main() -> None:
    world = World(Path(sys.argv[1]), victim=os.getppid())
    with world.served():
        for line in sys.stdin:
            message = json.loads(line)
            if "id" in message:
                result = answer(world, message["method"], message.get("params") or {})
                sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
