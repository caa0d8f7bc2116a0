"""AWS's binary framing of events, ``application/vnd.amazon.eventstream``, as Bedrock streams its answers.

A frame is a prelude (length of the frame, length of its headers, checksum of both), headers, a payload and a checksum. Format:
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html, the same for all services.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator

import orjson

PRELUDE = 12
FRAME_LIMIT = 24 * 1024 * 1024
"""Bytes of one frame that we are willing to hold; AWS's own limit for a frame is 16 MiB."""


def begins_with_frame(piece: bytes) -> bool:
    """Whether a body that begins like this is framed: the prelude's own checksum says so."""
    return len(piece) >= PRELUDE and zlib.crc32(piece[:8]) == int.from_bytes(piece[8:12], "big")


class FrameSplitter:
    """Cuts a framed body into the JSON of its events, fed piece by piece.

    A payload ``{"bytes": "…"}`` (InvokeModel's way) is unwrapped; an exception is given as ``{"error": {"type", "message"}}``.
    """

    __slots__ = ("_broken", "_missing", "_rest")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._missing = 0
        self._broken = False

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """The JSON of the frames that this piece completes."""
        if self._broken:
            return ()
        if self._rest:
            self._rest.append(piece)
            self._missing -= len(piece)
            if self._missing > 0:  # a large frame in small pieces is joined once
                return ()
            piece = b"".join(self._rest)
            self._rest.clear()
        return self._cut(piece)

    def rest(self) -> Iterable[bytes]:
        """Nothing: half a frame says nothing."""
        return ()

    def _cut(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        at = 0
        while len(data) - at >= PRELUDE:
            length = int.from_bytes(data[at : at + 4], "big")
            if not begins_with_frame(data[at : at + PRELUDE]) or not PRELUDE + 4 <= length <= FRAME_LIMIT:
                self._broken = True
                return found
            if len(data) - at < length:
                self._missing = length - (len(data) - at)
                break
            event = _event(data[at : at + length])
            if event:
                found.append(event)
            at += length
        else:
            self._missing = 1
        if at < len(data):
            self._rest.append(data[at:])
        return found


def _event(frame: bytes) -> bytes:
    """The JSON of one whole frame."""
    end_of_headers = PRELUDE + int.from_bytes(frame[4:8], "big")
    payload = frame[end_of_headers:-4]
    headers = dict(_headers(frame[PRELUDE:end_of_headers]))
    kind = headers.get(":exception-type") or headers.get(":error-code")
    if kind:
        return _error(kind, payload, headers.get(":error-message"))
    if b'"bytes"' not in payload[:64]:
        return payload
    try:
        wrapped = orjson.loads(payload)["bytes"]
        return base64.b64decode(wrapped)
    except (ValueError, KeyError, TypeError):
        return payload


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers of type string (7), which are all that a service sends; any other ends the reading."""
    at = 0
    while at < len(data):
        size = data[at]
        name = data[at + 1 : at + 1 + size].decode("utf-8", "replace")
        at += 1 + size
        if at + 3 > len(data) or data[at] != 7:
            return
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        yield name, data[at + 3 : at + 3 + length].decode("utf-8", "replace")
        at += 3 + length


def _error(kind: str, payload: bytes, message: str | None) -> bytes:
    try:
        said = orjson.loads(payload)
    except ValueError:
        said = {}
    if isinstance(said, dict):
        message = said.get("message") or message
    return orjson.dumps({"error": {"type": kind, "message": message}})
