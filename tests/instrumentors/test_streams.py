"""A tap on a stream: what waits, what is read at once, and that nothing is lost whoever ends it."""

from __future__ import annotations

import gc
import json
import time

import pytest

from spectra_otel.instrumentors.events import EventDecoder, EventSplitter
from spectra_otel.instrumentors.streams import BATCH, OpenTaps, Tap, Tapped, UsageHider
from spectra_otel.providers.base import Format
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.cohere import CohereChat
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

MARK = b"[DONE]"


class Reading:
    """What a tap has given to read, and how it was settled."""

    def __init__(self, mark: bytes | None = MARK) -> None:
        self.taps = OpenTaps()
        self.mark = mark
        self.got: list[bytes] = []
        self.settled: list[bool] = []

    def tap(self, hider: UsageHider | None = None) -> Tap:
        return Tap(self.taps, self._read, lambda aborted, error: self.settled.append(aborted), None, hider)

    def _read(self, data: bytes) -> bytes | None:
        self.got.append(data)
        return self.mark if MARK not in data else None


def event(**data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def test_events_wait_for_one_another():
    """Many small pieces are read in few goes, in order and whole, and never more than a batch of them waits."""
    reading, pieces = Reading(), [event(number=number, text="x" * 180) for number in range(1000)]
    tap = reading.tap()
    assert all(tap.feed(piece) is piece for piece in pieces)
    tap.end()
    assert b"".join(reading.got) == b"".join(pieces)
    assert len(reading.got) < len(pieces) / 50
    assert max(map(len, reading.got)) <= BATCH + len(pieces[-1])


def test_the_mark_of_the_end_is_read_at_once():
    """A stream is settled with the piece that ends it, though nobody closes it."""
    reading = Reading()
    tap = reading.tap()
    for piece in (event(a=1), event(b=2), b"data: [DONE]\n\n"):
        assert reading.settled == []
        tap.feed(piece)
    assert reading.settled == [False]
    tap.close()
    assert reading.settled == [False]


def test_a_mark_in_two_pieces_is_seen_when_the_stream_is_closed():
    """Where the network cuts the mark, the close finds a stream that ended well."""
    reading = Reading()
    tap = reading.tap()
    for piece in (event(a=1), event(b=2), b"data: [DO", b"NE]\n\n"):
        tap.feed(piece)
    assert reading.settled == []
    tap.close()
    assert reading.settled == [False]


def test_without_a_mark_every_piece_is_read_at_once():
    """A format that knows no mark, and a stream under a budget, wait for nothing."""
    reading = Reading(mark=b"")
    tap = reading.tap()
    for number in range(5):
        tap.feed(event(number=number))
        assert len(reading.got) == number + 1


@pytest.mark.parametrize("ending", ["close", "settle", "drop"])
def test_what_waits_is_read_before_the_record_is_made(ending):
    """Closed, flushed or let go of: the last pieces still count."""
    reading, pieces = Reading(), [event(number=number) for number in range(5)]
    stream = Tapped(None, reading.tap())
    for piece in pieces:
        stream._tap.feed(piece)
    if ending == "close":
        stream._tap.close()
    elif ending == "settle":
        reading.taps.settle()
    else:
        del stream
        gc.collect()
        deadline = time.monotonic() + 3
        while not reading.settled and time.monotonic() < deadline:
            time.sleep(0.005)
    assert reading.settled == [True]
    assert b"".join(reading.got) == b"".join(pieces)


def test_the_end_after_a_hidden_chunk_is_read_at_once():
    """Where we asked for usage its chunk is taken out, and the stream is settled with the end that follows it."""
    reading, hider = Reading(), UsageHider()
    tap = reading.tap(hider)
    usage = event(choices=[], usage={"prompt_tokens": 1})
    seen = [tap.feed(piece) for piece in (event(choices=[1]), event(choices=[2]), usage, b"data: [DONE]\n\n")]
    assert seen == [event(choices=[1]), event(choices=[2]), b"", b"data: [DONE]\n\n"]
    assert reading.settled == [False]


def test_lines_without_an_end_of_event_are_joined_once():
    """A stream of single lines takes time by its length, not by its square; the app gets all of it at the end."""
    hider, lines = UsageHider(), [b"data: " + b"x" * 90 + b"\n"] * 20_000
    began = time.process_time()
    assert not any(map(hider.feed, lines))
    assert hider.rest() == b"".join(lines)
    assert time.process_time() - began < 3


LAST = [
    (Chat(), b"data: [DONE]\n\n"),
    (Responses(), event(type="response.completed", response={"id": "r", "status": "completed"})),
    (Responses(), event(type="response.incomplete", response={"id": "r"})),
    (Messages(), b"event: message_stop\n" + event(type="message_stop")),
    (CohereChat(), event(type="message-end", delta={})),
    (CohereChat(), event(event_type="stream-end", is_finished=True, response={})),
]


@pytest.mark.parametrize(("format_", "last"), LAST, ids=lambda value: type(value).__name__)
def test_what_makes_a_reader_final_bears_its_mark(format_: Format, last: bytes):
    """Each format's last event is one that the tap does not let wait."""
    reader = format_.open_stream({})
    assert reader.mark in last
    EventDecoder(reader).take(EventSplitter(sse=True).feed(last))
    assert reader.final


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("before", [b"", b"\n\n", b": ping\n\n\n", b'data: {"a": 1}\r\n\r\n', b"data: \n\n\n\n"])
def test_a_hidden_event_takes_no_blank_line_with_it(before: bytes, size: int) -> None:
    """Whatever is before it, and however its ends are written."""
    counts, after = b'data: {"choices": [], "usage": {"prompt_tokens": 1}}', b"data: [DONE]\n\n"
    for end in (b"\n\n", b"\r\n\r\n"):
        hider, body = UsageHider(), before + counts + end + after
        shown = b"".join(hider.feed(body[at : at + size]) for at in range(0, len(body), size)) + hider.rest()
        assert shown == before + after
