"""A urllib3 response with a tap in it: what ``requests`` and botocore read their bodies from.

The response stays the object it is, with all that an app may do to it (``raw.decode_content = True``, ``with raw:``): only its
class becomes one whose methods of reading have the tap. What an adapter made of something else gets a stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from spectra_otel.instrumentors.streams import Tap, Tapped


def tapped(raw: Any, tap: Tap, *, is_encoded: bool) -> Any:
    """``raw`` with a tap, in place of ``raw``: every piece that is read of it goes through the tap.

    A body that is read without decoding it, though it ``is_encoded``, is passed on unread: its record says what the head said.
    """
    try:
        raw.__class__ = _with_tap(type(raw))  # type: ignore[arg-type]  # mypy takes no class for hashable
        found = raw
    except TypeError:  # not a class of Python's
        found = _stand_in(type(raw))(raw, tap)  # type: ignore[arg-type]
    found._tap, found._is_encoded = tap, is_encoded
    return found


class _Reading:
    """Methods of reading, with a tap. What they cover may call them in turn: then they pass on, for it is seen outside."""

    _tap: Tap
    _is_encoded = False
    _is_within = False
    _left = b""
    """What the tap let go at once, and the app has not asked for yet."""

    def _covered(self, name: str) -> Callable[..., Any]:
        raise NotImplementedError

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """Pieces of the body, as urllib3 gives them."""
        return self._pieces(self._covered("stream")(amt, decode_content=decode_content), decode_content)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """Pieces of the body as they were sent."""
        return self._pieces(self._covered("read_chunked")(amt, decode_content=decode_content), decode_content)

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """The body, or the next ``amt`` bytes of it."""
        decode = args[0] if args else kwargs.get("decode_content")
        return self._one(amt is None or amt < 0, decode, "read", amt, *args, **kwargs)

    def read1(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """What is there of the body."""
        decode = args[0] if args else kwargs.get("decode_content")
        return self._one(False, decode, "read1", amt, *args, **kwargs)

    def close(self) -> None:
        """Close the connection, and settle the record."""
        self._leave("close")

    def release_conn(self) -> None:
        """Give the connection back: nothing more is read."""
        self._leave("release_conn")

    def _leave(self, name: str) -> None:
        try:
            self._covered(name)()
        finally:
            if not self._is_within:
                self._tap.close()

    def _pieces(self, pieces: Iterator[bytes], decode: bool | None) -> Iterator[bytes]:
        return pieces if self._is_within else self._seen(pieces, decode)

    def _seen(self, pieces: Iterator[bytes], decode: bool | None) -> Iterator[bytes]:
        """All pieces; a reader that stops early is noticed when the response is closed or let go of."""
        reads = self._reads(decode)
        if self._left:
            yield self._given(None)
        while True:
            self._is_within = True
            try:
                piece = next(pieces)
            except StopIteration:
                rest = self._tap.end()
                if rest:
                    yield rest
                return
            except BaseException as error:
                self._tap.broke(error)
                raise
            finally:
                self._is_within = False
            shown = self._feed(piece) if reads else piece
            if shown or not piece:
                yield shown

    def _one(self, is_all: bool, decode: bool | None, name: str, amt: int | None, *args: Any, **kwargs: Any) -> bytes:
        read = self._covered(name)
        if self._is_within or amt == 0:
            return read(amt, *args, **kwargs)  # type: ignore[no-any-return]
        while is_all or not self._left:
            self._is_within = True
            try:
                piece: bytes = read(amt, *args, **kwargs)
            except BaseException as error:
                self._tap.broke(error)
                raise
            finally:
                self._is_within = False
            self._left += self._feed(piece) if piece and self._reads(decode) else piece
            if is_all or not piece:
                self._left += self._tap.end()
                break
        return self._given(None if is_all else amt)

    def _given(self, amt: int | None) -> bytes:
        """At most ``amt`` bytes of what the app may have now."""
        left = self._left
        end = len(left) if amt is None or amt < 0 else amt
        self._left = left[end:]
        return left[:end]

    def _reads(self, decode: bool | None) -> bool:
        decodes = decode if decode is not None else getattr(self, "decode_content", False)
        return bool(decodes) or not self._is_encoded

    def _feed(self, piece: bytes) -> bytes:
        try:
            return self._tap.feed(piece)
        except BaseException:  # a budget cuts the stream off
            self._covered("close")()
            raise


_METHODS = {name: method for name, method in vars(_Reading).items() if not name.startswith("__") and name != "_covered"}


def _of(kind: type) -> dict[str, Any]:
    """The methods for a class: the public ones that it has itself, for clients ask what there is."""
    return {name: method for name, method in _METHODS.items() if name[0] == "_" or hasattr(kind, name)}


@cache
def _with_tap(kind: type) -> type:
    """``kind`` with a tap."""

    def covered(self: Any, name: str) -> Any:
        return getattr(super(ours, self), name)

    def finalize(self: Any) -> None:
        self._is_within = True  # its own finaliser closes it; the record is settled elsewhere
        self._tap.abandon()
        beneath = getattr(super(ours, self), "__del__", None)
        if beneath is not None:
            beneath()

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    ours = type(kind.__name__, (kind,), {**_of(kind), **names, "_covered": covered, "__del__": finalize})
    return ours


@cache
def _stand_in(kind: type) -> type:
    """A class that stands in for ``kind``: for what it does not read itself, it asks its source."""

    def ask(self: Any, name: str) -> Any:
        if name == "_source":  # a copy that was never made
            raise AttributeError(name)
        return getattr(self._source, name)

    def readinto(self: Any, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    found = {**_of(kind), "_covered": ask, "__getattr__": ask, "readinto": readinto, "__enter__": lambda self: self}
    found["__exit__"] = lambda self, *_: self.close()
    found["__iter__"] = lambda self: self._pieces(iter(self._source), True)
    return type(kind.__name__, (Tapped,), found)
