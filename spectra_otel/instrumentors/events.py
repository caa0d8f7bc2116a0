"""The events of a streamed answer: server-sent events, or JSON by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from spectra_otel import faults
from spectra_otel.providers.base import StreamReader
from spectra_otel.providers.values import Json

EVENT_LIMIT = 32 * 1024 * 1024
"""Bytes of one event, or of one body that is a single JSON document, that we are willing to hold."""
EVENT_STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How a stream of server-sent events can begin, whatever its content type says."""
_DONE = b"[DONE]"
_DATA = re.compile(rb"^data:(.*)$", re.MULTILINE)


class EventSplitter:
    """Cuts a body into the data of its events, fed piece by piece. ``sse``: ``data:`` lines; else every line is an event."""

    __slots__ = ("_rest", "_size", "sse")

    def __init__(self, *, sse: bool) -> None:
        self.sse = sse
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """The data of the events that this piece completes."""
        end = piece.rfind(b"\n") + 1
        if not end:
            self._keep(piece)
            return ()
        whole = piece if end == len(piece) else piece[:end]
        if self._size:
            # Of an event that was too large to hold there is no rest, and its end is of no use.
            whole = b"".join((*self._rest, whole)) if self._rest else whole[whole.find(b"\n") + 1 :]
            self._rest.clear()
            self._size = 0
        if end != len(piece):
            self._keep(piece[end:])
        if self.sse:
            return _DATA.findall(whole)
        return [line for line in whole.split(b"\n") if line and not line.isspace()]

    def rest(self) -> Iterable[bytes]:
        """The last event of a body that does not end with a line break."""
        return self.feed(b"\n") if self._rest else ()

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > EVENT_LIMIT:
            self._rest.clear()
        else:
            self._rest.append(piece)


class EventDecoder:
    """Gives decoded events to a reader. An event may spread its JSON over several ``data:`` lines; then they are joined."""

    __slots__ = ("_open", "_partial", "_reader", "_size")

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._partial: list[bytes] = []
        self._open = 0
        """Braces that the lines of ``_partial`` leave open: only where all are closed the join is tried, once."""
        self._size = 0

    def take(self, lines: Iterable[bytes]) -> None:
        """Lines of data. What is not JSON is left."""
        read = self._reader.event
        for data in lines:
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                event = self._other(data)
            if type(event) is dict:
                if self._partial:
                    self._partial.clear()
                try:
                    read(event)
                except Exception as error:  # the events after this one still count
                    faults.report("event of a stream", error)

    def _other(self, data: bytes) -> Any:
        if data.strip() == _DONE:
            self._reader.done()
            return None
        partial = self._partial
        if data.startswith((b"{", b" {")):  # lines within an object are indented, or begin with a name
            partial.clear()
            self._open = self._size = 0
        elif not partial:
            return None
        partial.append(data)
        self._open += data.count(b"{") - data.count(b"}")
        self._size += len(data)
        if self._open > 0 and self._size < EVENT_LIMIT:
            return None
        joined = b"".join(partial)
        partial.clear()
        try:
            return orjson.loads(joined)
        except orjson.JSONDecodeError:
            return None


class KeepingDecoder(EventDecoder):
    """Keeps events, too, while their size together is within ``limit`` bytes; ``see`` is shown all of them."""

    __slots__ = ("_kept", "_left", "_see")

    def __init__(self, reader: StreamReader, kept: list[Json], limit: int, see: Callable[[Any], None]) -> None:
        super().__init__(reader)
        self._kept = kept
        self._left = limit
        self._see = see

    def take(self, lines: Iterable[bytes]) -> None:
        lines = tuple(lines)
        super().take(lines)
        for data in lines:
            self._left -= len(data)
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                continue
            if self._left >= 0:
                self._kept.append(event)
            self._see(event)
