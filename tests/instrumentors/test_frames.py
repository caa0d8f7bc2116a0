"""AWS's event streams: cut anywhere, broken anywhere, hostile or whole."""

from __future__ import annotations

import base64
import json
import time
import zlib

import pytest

from spectra_otel.instrumentors.frames import FrameSplitter, begins_with_frame


def frame(payload: bytes, headers: dict[str, str] | None = None) -> bytes:
    pairs = {":event-type": "chunk", ":message-type": "event"} if headers is None else headers
    head = b"".join(
        bytes([len(n)]) + n.encode() + b"\x07" + len(v).to_bytes(2, "big") + v.encode() for n, v in pairs.items()
    )
    prelude = (len(head) + len(payload) + 16).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + head + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


EVENTS = [b'{"n":1}', b'{"n":2,"text":"%s"}' % (b"x" * 3000), b'{"n":3}']
WHOLE = b"".join(map(frame, EVENTS))


@pytest.mark.parametrize("size", [1, 7, 12, 13, 100, 4096, 100_000])
def test_a_body_may_be_cut_anywhere(size):
    """Every event comes out once, in order."""
    splitter = FrameSplitter()
    found = [event for at in range(0, len(WHOLE), size) for event in splitter.feed(WHOLE[at : at + size])]
    assert found == EVENTS


def test_a_wrapped_event_is_unwrapped():
    """InvokeModel's payloads are base64 in JSON."""
    wrapped = json.dumps({"bytes": base64.b64encode(b'{"type":"message_start"}').decode(), "p": "abc"}).encode()
    assert list(FrameSplitter().feed(frame(wrapped))) == [b'{"type":"message_start"}']


def test_an_exception_is_an_error():
    """Its class is in the headers."""
    said = frame(b'{"message":"slow down"}', {":message-type": "exception", ":exception-type": "throttlingException"})
    [event] = FrameSplitter().feed(said)
    assert json.loads(event) == {"error": {"type": "throttlingException", "message": "slow down"}}


def test_what_is_no_frame_ends_the_reading():
    """A length that its checksum does not confirm is not believed."""
    splitter = FrameSplitter()
    assert list(splitter.feed(frame(EVENTS[0]) + b"\xff" * 64)) == [EVENTS[0]]
    assert list(splitter.feed(frame(EVENTS[1]))) == []
    assert not begins_with_frame(b"data: {}\n\n" * 3)


def test_a_large_frame_in_small_pieces_is_read_in_time():
    """Ten megabytes in pieces of a kilobyte are joined once, not ten thousand times."""
    large = frame(b'{"text":"%s"}' % (b"x" * 10_000_000))
    splitter, begun, found = FrameSplitter(), time.monotonic(), 0
    for at in range(0, len(large), 1024):
        found += len(list(splitter.feed(large[at : at + 1024])))
    assert found == 1
    assert time.monotonic() - begun < 5
