"""Reading a body while the app reads it: nothing is held back, nothing is kept, and the app's bytes stay as they are.

``Decompressor`` → ``EventSplitter`` → the format's ``StreamReader``: bytes to plain bytes, to the data of events, to fields.
:class:`Tap` is what an HTTP client's response stream calls for each piece; :class:`OpenTaps` knows which are still open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.providers.base import Json, StreamReader
from spectra_otel.tracking.abandoned import abandoned

EVENT_LIMIT = 32 * 1024 * 1024
"""Bytes of one event, or of one body that is a single JSON document, that we are willing to hold."""
_DONE = b"[DONE]"
Decompressor = Callable[[bytes], bytes]


class EventSplitter:
    """Cuts a body into the data of its events, fed piece by piece. ``sse``: ``data:`` lines; else every line is an event."""

    __slots__ = ("_rest", "_size", "overflowed", "sse")

    def __init__(self, *, sse: bool) -> None:
        self.sse = sse
        self.overflowed = False
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """The data of the events that this piece completes."""
        if self.sse and not self._rest and piece.find(b"\n") == len(piece) - 2 and piece.startswith(b"data:"):
            return (piece[5:],)  # one whole event in one piece, as nearly all are
        end = piece.rfind(b"\n") + 1
        if not end:
            self._keep(piece)
            return ()
        whole = piece if end == len(piece) else piece[:end]
        if self._rest:
            whole = b"".join((*self._rest, whole))
            self._rest.clear()
            self._size = 0
        if end != len(piece):
            self._keep(piece[end:])
        if self.sse:
            return [line[5:] for line in whole.split(b"\n") if line.startswith(b"data:")]
        return [line for line in whole.split(b"\n") if line and not line.isspace()]

    def rest(self) -> Iterable[bytes]:
        """The last event of a body that does not end with a line break."""
        return self.feed(b"\n") if self._rest else ()

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > EVENT_LIMIT:
            self._rest.clear()
            self.overflowed = True
        elif not self.overflowed:
            self._rest.append(piece)


class EventDecoder:
    """Gives decoded events to a reader. An event may spread its JSON over several ``data:`` lines; then they are joined."""

    __slots__ = ("_event", "_partial", "_reader", "malformed")

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._event = reader.event
        self._partial = b""
        self.malformed = 0

    def take(self, data: bytes) -> None:
        """One line of data. What is not JSON is counted and left."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            event = self._other(data)
        if type(event) is dict:
            if self._partial:
                self._partial = b""
            try:
                self._event(event)
            except Exception as error:  # the events after this one still count
                faults.report("event of a stream", error)

    def _other(self, data: bytes) -> Any:
        if data.strip() == _DONE:
            self._reader.done()
            return None
        joined = self._partial + data if self._partial else data
        try:
            return orjson.loads(joined)
        except orjson.JSONDecodeError:
            self.malformed += 1
            self._partial = joined if len(joined) < EVENT_LIMIT else b""
            return None


class KeepingDecoder(EventDecoder):
    """Keeps events, too, while their size together is within ``limit`` bytes."""

    __slots__ = ("_kept", "_left")

    def __init__(self, reader: StreamReader, kept: list[Json], limit: int) -> None:
        super().__init__(reader)
        self._kept = kept
        self._left = limit

    def take(self, data: bytes) -> None:
        super().take(data)
        self._left -= len(data)
        if self._left >= 0:
            try:
                self._kept.append(orjson.loads(data))
            except orjson.JSONDecodeError:
                return


class UsageHider:
    """Takes the one chunk out of a stream that is there only because we asked for it: no choices, but usage.

    Whole events go on at once; an event that is not whole yet waits for its end, which the app could not read anyway.
    """

    __slots__ = ("_rest", "_size")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> bytes:
        """What the app may see now."""
        if not self._rest and piece.endswith(b"\n\n"):
            return self._without_usage(piece) if b"_tokens" in piece else piece
        self._rest.append(piece)
        self._size += len(piece)
        if b"\n" not in piece and self._size < EVENT_LIMIT:
            return b""
        data = b"".join(self._rest)
        end = len(data) if self._size >= EVENT_LIMIT else _end_of_events(data)
        if not end:
            self._rest = [data]
            return b""
        self._rest = [data[end:]] if end < len(data) else []
        self._size = len(data) - end
        whole = data[:end]
        return self._without_usage(whole) if b'"choices"' in whole and b"_tokens" in whole else whole

    def rest(self) -> bytes:
        """What is left at the end of the body."""
        data, self._rest = b"".join(self._rest), []
        return b"" if _is_usage_only(data) else data

    @staticmethod
    def _without_usage(whole: bytes) -> bytes:
        separator = b"\r\n\r\n" if b"\r\n\r\n" in whole else b"\n\n"
        return separator.join(event for event in whole.split(separator) if not _is_usage_only(event))


def _end_of_events(data: bytes) -> int:
    """Where the last whole event ends; 0 if there is none."""
    ends = [data.rfind(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n") if blank in data]
    return max(ends, default=0)


def _is_usage_only(event: bytes) -> bool:
    if b"_tokens" not in event or not event.lstrip().startswith(b"data:"):
        return False
    try:
        data = orjson.loads(event.lstrip()[5:])
    except orjson.JSONDecodeError:
        return False
    return isinstance(data, dict) and data.get("choices") == [] and isinstance(data.get("usage"), dict)


class Tap:
    """What one response stream calls: :meth:`feed` for each piece, then :meth:`end`, :meth:`broke` or :meth:`close`.

    ``read`` gets each piece, decompressed, and says whether the record can be settled now; ``settle(aborted, error)`` makes
    it. ``hider`` filters what the app sees. None of it raises but a budget that cuts the stream: a fault is said once, and
    from then on the tap only passes on.
    """

    __slots__ = ("__weakref__", "_decompress", "_hider", "_is_off", "_owner", "_read", "_settle")

    def __init__(
        self,
        owner: OpenTaps,
        read: Callable[[bytes], bool],
        settle: Callable[[bool, BaseException | None], None],
        decompress: Decompressor | None = None,
        hider: UsageHider | None = None,
    ) -> None:
        self._owner = owner
        self._read = read
        self._settle = settle
        self._decompress = decompress
        self._hider = hider
        self._is_off = False
        owner.add(self)

    def feed(self, piece: bytes) -> bytes:
        """Read a piece; gives back what the app shall see of it."""
        if self._hider is not None:
            return self._feed_hidden(piece)
        if not self._is_off:
            try:
                if self._read(piece if self._decompress is None else self._decompress(piece)):
                    self._finish(False, None)
            except BudgetExceededError as error:
                self._finish(True, error)
                raise
            except Exception as error:
                self._give_up(error)
        return piece

    def _feed_hidden(self, piece: bytes) -> bytes:
        """With a hider the app sees the decompressed body: the caller has told its response so."""
        assert self._hider is not None
        plain = piece
        if self._decompress is not None:
            plain = self._decompress(piece)
        if not self._is_off:
            try:
                if self._read(plain):
                    self._finish(False, None)
            except BudgetExceededError as error:
                self._finish(True, error)
                raise
            except Exception as error:
                self._give_up(error)
        return self._hider.feed(plain)

    def end(self) -> bytes:
        """The body is over. What the app shall still see is given back."""
        rest = self._hider.rest() if self._hider is not None else b""
        self._finish(False, None)
        return rest

    def broke(self, error: BaseException) -> None:
        """Reading raised this."""
        self._finish(True, error)

    def close(self) -> None:
        """Closed, perhaps early, or given up by the app."""
        self._finish(True, None)

    def abandon(self) -> None:
        """The garbage collector found the stream. Safe wherever it runs."""
        if self._owner.is_open(self):
            abandoned.put(self)

    def _finish(self, aborted: bool, error: BaseException | None) -> None:
        if not self._owner.remove(self):
            return
        self._is_off = True
        try:
            self._settle(aborted, error)
        except Exception as fault:
            faults.report("stream", fault)

    def _give_up(self, error: Exception) -> None:
        faults.report("stream", error)
        self._finish(True, None)


class OpenTaps:
    """The streams that are still open in this process."""

    def __init__(self) -> None:
        self._open: set[Tap] = set()

    def reset(self) -> None:
        """Forget them: what a forked child does, for its parent's streams are its parent's."""
        self._open = set()

    def add(self, tap: Tap) -> None:
        """A stream was opened."""
        self._open.add(tap)
        abandoned.watch()

    def remove(self, tap: Tap) -> bool:
        """The stream is done; True for the one caller that may settle it."""
        try:
            self._open.remove(tap)
        except KeyError:
            return False
        return True

    def is_open(self, tap: Tap) -> bool:
        """Whether the stream is not done yet."""
        return tap in self._open

    def settle(self) -> None:
        """Settle every stream that is not done: the abandoned ones and those still open."""
        abandoned.settle()
        for tap in list(self._open):
            tap.close()
