"""A headless Chromium driven over the DevTools protocol: what a page does, logs, asks for and forbids."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

KEY_CODES = {"Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
"""Keys that the browser itself acts on need their number."""


@dataclass
class Tab:
    """One page in the browser."""

    socket: aiohttp.ClientWebSocketResponse
    logged: list[str] = field(default_factory=list[str])
    """Errors and warnings of the console, exceptions, violations of the policy."""
    asked: list[str] = field(default_factory=list[str])
    """Every address that was asked for."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self.socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.logged.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                self.logged.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.logged.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(parameters["request"]["url"])
            case _:
                pass

    async def run(self, script: str) -> Any:
        """Return what a script comes to, awaited."""
        result = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def open(self, file: Path) -> None:
        """Open a page and wait until it is loaded and drawn."""
        await self.send("Page.navigate", url=file.as_uri())
        with anyio.fail_after(60):
            while not await self.run("document.readyState === 'complete' && location.href !== 'about:blank'"):
                await anyio.sleep(0.02)
        await self.frame()

    async def frame(self) -> None:
        """Wait until what was changed has been painted."""
        await self.run(
            "new Promise(go => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(go))))"
        )

    async def press(self, key: str) -> None:
        more: dict[str, Any] = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": KEY_CODES[key]}
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key)
        await self.frame()

    async def size(self, width: int, height: int, *, dark: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, file: Path) -> None:
        shot = await self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def browser() -> AsyncGenerator[Tab]:
    """Start Chromium with an empty profile and open one page in it."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run",
                   "--disable-background-networking", "--disable-extensions", "about:blank"]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": profile}
        )
        try:
            with anyio.fail_after(40):
                ready = Path(profile, "DevToolsActivePort")
                while not (ready.exists() and "\n" in ready.read_text()):
                    assert process.poll() is None, "the browser did not start"
                    await anyio.sleep(0.05)
            port = ready.read_text().split()[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                    targets = await reply.json(content_type=None)
                address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await tab.send(f"{domain}.enable")
                    yield tab
        finally:
            process.terminate()
            process.wait(10)
