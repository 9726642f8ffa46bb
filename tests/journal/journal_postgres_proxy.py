"""A proxy before PostgreSQL that breaks the connection at a chosen moment."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal
from urllib.parse import quote

Break = Literal["before", "after"]
"""Whether the server gets the statement before the connection breaks, or has carried it out."""


class Proxy:
    """Stands between a journal and the server whose socket lies in `folder`."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._folder = folder
        self._server = str(server / ".s.PGSQL.5432")
        self._own = folder / ".s.PGSQL.5432"
        self._open: list[socket.socket] = []
        self._break: Break | None = None
        self._word = b""
        self.broken = threading.Event()
        """Set when the connection was broken as asked."""
        self.start()

    def address(self, url: str) -> str:
        """Return the address of the same database by way of this proxy."""
        return f"{url.partition('?')[0]}?host={quote(str(self._folder), safe='')}"

    def break_at(self, word: bytes, when: Break) -> None:
        """Break the connection that next sends something with `word` in it."""
        self.broken.clear()
        self._word, self._break = word, when

    def start(self) -> None:
        """Take connections."""
        self._own.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._own))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Break all connections and take no new ones."""
        self._own.unlink(missing_ok=True)
        _end(self._listener, *self._open)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [client, server]
                swallow = threading.Event()
                for pass_on in (self._requests, self._answers):
                    threading.Thread(target=pass_on, args=(client, server, swallow), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while sent := client.recv(1 << 16):
                if self._break and self._word in sent:
                    when, self._break = self._break, None
                    if when == "before":
                        _end(client, server)
                        self.broken.set()
                        return
                    swallow.set()
                server.sendall(sent)
        _end(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(1 << 16):
                if swallow.is_set():
                    # The server answers when it has committed.
                    self.broken.set()
                    break
                client.sendall(answer)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        # Closing alone would not wake a thread that reads from it.
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
