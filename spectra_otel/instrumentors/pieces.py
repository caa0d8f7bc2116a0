"""A body that the app reads piece by piece, read beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from spectra_otel.instrumentors.events import EVENT_LIMIT, EVENT_STARTS, EventSplitter
from spectra_otel.instrumentors.frames import FrameSplitter, begins_with_frame

if TYPE_CHECKING:
    from spectra_otel.instrumentors.exchange import Exchange

BINARY = ("audio/", "image/", "video/", "application/octet-stream")


class Pieces:
    """A body read piece by piece: as events where it is a stream, as one document else. The first piece decides."""

    __slots__ = ("_exchange", "_parts", "_size", "_splitter", "_take", "_type")

    def __init__(self, exchange: Exchange, content_type: str) -> None:
        self._exchange = exchange
        self._type = content_type
        self._splitter: EventSplitter | FrameSplitter | None = None
        self._take: Callable[[Iterable[bytes]], None] = _ignore
        self._parts: list[bytes] | None = None
        self._size = 0

    @property
    def is_binary(self) -> bool:
        """Whether the answer is itself a medium, whose price is by what was asked."""
        return self._type.startswith(BINARY)

    def feed(self, data: bytes) -> bytes | None:
        """Read what came; gives what marks a piece that must be read at once, or None when the record can be settled."""
        if self._splitter is None:
            if self._parts is None and not self._decide(data):
                return b""
            if self._splitter is None:
                self._keep(data)
                return b""
        self._take(self._splitter.feed(data))
        reader, ticket = self._exchange.reader, self._exchange.request.ticket
        if reader is None:
            return b""
        if ticket is None or not ticket.bound.grows:
            return None if reader.final else reader.mark
        if not reader.complete:  # a budget may cut it at any piece
            ticket.delivered(reader.characters)
        return None if reader.final else b""

    def finish(self) -> None:
        """The body is over, or given up: read what was kept back."""
        if self._splitter is not None:
            self._take(self._splitter.rest())
        elif self._parts:
            self._exchange.read_whole(b"".join(self._parts), self._type)
            self._parts = None

    def _decide(self, piece: bytes) -> bool:
        head = piece.lstrip()
        if not head:
            return False
        self._exchange.request.seen_first_chunk()
        events = head.startswith(EVENT_STARTS)
        lines = (
            not events
            and "json" in self._type
            and ("nd" in self._type or "stream" in self._type or "lines" in self._type)
        )
        if events or lines or begins_with_frame(piece):
            self._splitter = EventSplitter(sse=events) if events or lines else FrameSplitter()
            self._take = self._exchange.open_decoder().take
        else:
            self._parts = []
        return True

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._type.startswith(BINARY) or self._size > EVENT_LIMIT:
            if "json" in self._type:
                self._exchange.request.values["error_type"] = "response_too_large"
            self._parts = []
            self._exchange.keep_piece(piece, self._type)
        elif self._parts is not None:
            self._parts.append(piece)


def _ignore(lines: Iterable[bytes]) -> None:
    """Before the first piece nothing is read."""
