"""Reading a body while the app reads it: nothing is held back, nothing is kept, and the app's bytes stay as they are.

``Decompressor`` → ``EventSplitter`` → the format's ``StreamReader``: bytes to plain bytes, to the data of events, to fields.
:class:`Tap` is what an HTTP client's response stream calls for each piece; :class:`OpenTaps` knows which are still open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.instrumentors.events import EVENT_LIMIT
from spectra_otel.tracking.abandoned import abandoned

BATCH = 16 * 1024
"""Bytes of a stream that may wait before they are read: some eighty events, which takes 0.1 ms."""
_COUNT = b"_tokens"
"""In the names of all counts of a usage."""
_ONE_LINE = re.compile(rb"(\A[\r\n]*|(?<=\n\n)|(?<=\n\r\n))(data:[^\n]*\n\r?\n)")
"""What is blank before an event of one line of data; the event, with the blank line that ends it."""
Decompressor = Callable[[bytes], bytes]


class UsageHider:
    """Takes the one chunk out of a stream that is there only because we asked for it: no choices, but usage.

    Whole events go on at once; an event that is not whole yet waits for its end, which the app could not read anyway.
    ``held``: the pieces that wait. ``mark``: what that chunk has; nothing once it was taken out, for what follows is the end.
    """

    __slots__ = ("_last", "_size", "held", "mark")

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.mark = _COUNT
        self._size = 0
        self._last = b""
        """The last bytes of what waits, where the blank line that ends an event may have begun."""

    def feed(self, piece: bytes) -> bytes:
        """What the app may see now."""
        if not self.held and piece.endswith(b"\n\n"):
            return self._without_usage(piece) if _COUNT in piece else piece
        seam = self._last + piece
        self.held.append(piece)
        self._size += len(piece)
        self._last = seam[-3:]
        if not _end_of_events(seam) and self._size < EVENT_LIMIT:  # all that waits is joined once, not for every piece
            return b""
        data = b"".join(self.held)
        end = len(data) if self._size >= EVENT_LIMIT else _end_of_events(data)
        if not end:
            self.held = [data]
            return b""
        self.held = [data[end:]] if end < len(data) else []
        self._size = len(data) - end
        self._last = data[max(end, len(data) - 3) :]
        whole = data[:end]
        return self._without_usage(whole) if b'"choices"' in whole and _COUNT in whole else whole

    def rest(self) -> bytes:
        """What is left at the end of the body."""
        data, self.held = b"".join(self.held), []
        return b"" if _is_usage_only(data) else data

    def _without_usage(self, whole: bytes) -> bytes:
        kept = _ONE_LINE.sub(lambda event: event[1] if _is_usage_only(event[2]) else event[0], whole)
        if len(kept) < len(whole):
            self.mark = b""
        return kept


def _end_of_events(data: bytes) -> int:
    """Where the last whole event ends; 0 if there is none."""
    ends = [data.rfind(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n") if blank in data]
    return max(ends, default=0)


def _is_usage_only(event: bytes) -> bool:
    if _COUNT not in event or not event.lstrip().startswith(b"data:"):
        return False
    try:
        data = orjson.loads(event.lstrip()[5:])
    except orjson.JSONDecodeError:
        return False
    return isinstance(data, dict) and data.get("choices") == [] and isinstance(data.get("usage"), dict)


class Tap:
    """What one response stream calls: :meth:`feed` for each piece, then :meth:`end`, :meth:`broke` or :meth:`close`.

    ``read`` gets the body, decompressed, and says what to look for in it: it is called again for a piece that has these bytes
    (``b""``: for every piece), or when ``BATCH`` bytes wait, since reading many events at once costs half of reading each as it
    comes. It gives None when the record can be settled now; ``settle(aborted, error)`` makes it. ``hider`` filters what the app
    sees. None of it raises but a budget that cuts the stream: a fault is said once, and from then on the tap only passes on.
    """

    __slots__ = (
        "__weakref__",
        "_decompress",
        "_hider",
        "_is_off",
        "_mark",
        "_owner",
        "_read",
        "_room",
        "_settle",
        "_waiting",
    )

    def __init__(
        self,
        owner: OpenTaps,
        read: Callable[[bytes], bytes | None],
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
        self._mark = b""
        self._waiting: list[bytes] = []
        self._room = BATCH
        owner.add(self)

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; gives back what the app shall see of it."""
        plain = piece if self._decompress is None else self._decompressed(piece)
        is_marked = self._mark in plain
        hider = self._hider
        if hider is not None:
            piece = hider.feed(plain) if is_marked or hider.held or not plain.endswith(b"\n\n") else plain
        if not self._is_off:
            self._waiting.append(plain)
            self._room -= len(plain)
            if is_marked or self._room < 0:
                self._read_waiting()
        return piece

    def _decompressed(self, piece: bytes) -> bytes:
        """With a hider the app sees the decompressed body, whose errors are its own; else it decompresses by itself."""
        assert self._decompress is not None
        if self._hider is not None:
            return self._decompress(piece)
        try:
            return b"" if self._is_off else self._decompress(piece)
        except Exception as error:  # the body's fault, which the app's own decoder is about to tell it
            self._finish(True, error)
            return b""

    def _read_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._room = BATCH
        try:
            mark = self._read(waiting[0] if len(waiting) == 1 else b"".join(waiting))
            if mark is None:
                self._finish(False, None)
            else:
                self._mark = mark if not mark or self._hider is None else self._hider.mark
        except BudgetExceededError as error:
            self._finish(True, error)
            raise
        except Exception as error:
            self._give_up(error)

    def end(self) -> bytes:
        """The body is over. What the app shall still see is given back."""
        rest = self._hider.rest() if self._hider is not None else b""
        self._finish(False, None)
        return rest

    def keeps_back(self) -> bool:
        """Whether the app may still get some of what was read."""
        return self._hider is not None and bool(self._hider.held)

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
        if self._waiting:  # the end may be among it
            self._read_waiting()
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


class Tapped:
    """What stands in for a response's stream, and hands to the tap what is read of it. Let go of, its record is settled."""

    def __init__(self, source: Any, tap: Tap) -> None:
        self._source = source
        self._tap = tap

    def __del__(self) -> None:
        self._tap.abandon()


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
