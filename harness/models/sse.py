"""Server-sent events, as far as model APIs use them: the data of each event, whatever the chunking."""

from __future__ import annotations

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventStream:
    """Turns chunks of bytes into the data of complete events.

    Lines end with LF, CR or CRLF, comments and other fields are skipped, several `data` lines of
    one event are joined with LF, and an event that is not closed by an empty line never appears
    (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
    """

    def __init__(self) -> None:
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._after_return = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of every event that `chunk` completes."""
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        self._tail += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            return []
        lines = bytes(self._tail).splitlines(keepends=True)
        self._tail.clear()
        if not lines[-1].endswith((b"\n", b"\r")):
            self._tail += lines.pop()
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            content = line.rstrip(b"\r\n")
            if content.startswith(b"data:"):
                self._data.append(content[6:] if content.startswith(b"data: ") else content[5:])
            elif not content and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        return events
