"""A urllib3 response with a tap in it: what ``requests`` and botocore read their bodies from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spectra_otel.instrumentors.streams import Tap, Tapped


class TappedRaw(Tapped):
    """Stands in for a ``urllib3.HTTPResponse``; every piece that is read of it goes through the tap.

    A body that is read without decoding it, though it is encoded, is passed on unread: its record says what the head said.
    """

    def __init__(self, raw: Any, tap: Tap, *, is_encoded: bool) -> None:
        super().__init__(raw, tap)
        self._is_encoded = is_encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces(iter(self._source), True)

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """Pieces of the body, as urllib3 gives them."""
        return self._pieces(self._source.stream(amt, decode_content=decode_content), decode_content)

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """The body, or the next ``amt`` bytes of it."""
        return self._one(
            amt is None or amt < 0, amt != 0, self._source.read, decode_content, amt, decode_content, cache_content
        )

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """What is there of the body."""
        return self._one(False, amt != 0, self._source.read1, decode_content, amt, decode_content)

    def readinto(self, buffer: Any) -> int:
        """The next bytes of the body, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the connection, and settle the record."""
        try:
            self._source.close()
        finally:
            self._tap.close()

    def release_conn(self) -> None:
        """Give the connection back: nothing more is read."""
        try:
            self._source.release_conn()
        finally:
            self._tap.close()

    def _pieces(self, pieces: Iterator[bytes], decode: bool | None) -> Iterator[bytes]:
        """All pieces; a reader that stops early is noticed when the response is closed or let go of."""
        reads = self._reads(decode)
        while True:
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
            shown = self._feed(piece) if reads else piece
            if shown or not piece:
                yield shown

    def _one(self, is_all: bool, can_end: bool, read: Any, decode: bool | None, *args: Any) -> bytes:
        while True:
            try:
                piece: bytes = read(*args)
            except BaseException as error:
                self._tap.broke(error)
                raise
            if not piece:
                return self._tap.end() if can_end else piece
            shown = self._feed(piece) if self._reads(decode) else piece
            if is_all:
                return shown + self._tap.end()
            if shown:
                return shown

    def _reads(self, decode: bool | None) -> bool:
        decodes = decode if decode is not None else getattr(self._source, "decode_content", False)
        return bool(decodes) or not self._is_encoded

    def _feed(self, piece: bytes) -> bytes:
        try:
            return self._tap.feed(piece)
        except BaseException:  # a budget cuts the stream off
            self._source.close()
            raise
