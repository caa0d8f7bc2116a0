"""One text that is not UTF-8 does not cost a request."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spectra_otel.otlp.json_wire import protobuf_of
from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import SIGNALS, TRACES
from spectra_otel.otlp.text import _written, with_texts
from spectra_otel.service.otlp_receiver.answers import received
from tests.service.running import CHAT, attributes_of, request, spans_of

CUT, MENDED = "naïve 🙂".encode()[:-2], "naïve \ufffd"
SPAN = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",'
    '"name":"n","startTimeUnixNano":"5","attributes":[{"key":"a","value":{"stringValue":"TEXT"}}]}]}]}]}'
)


def with_text(text: str) -> Any:
    """A request with a text at every depth, and with what only looks like text."""
    message = request({**CHAT, "a": text, "b": 7, "c": b"\xff\xfe"})
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="list").value.array_value.values.add(string_value=text)
    span.links.add(trace_id=b"\xff" * 16, span_id=b"\xfe" * 8, attributes=[span.attributes[-1]])
    span.events.add(name=text, time_unix_nano=1 << 63)
    return message


def test_a_text_that_was_cut_within_a_character_is_mended_and_the_rest_is_as_it_came() -> None:
    """As the OpenTelemetry Collector takes it; ids and bytes are no texts."""
    body = with_text("#" * len(CUT)).SerializeToString().replace(b"#" * len(CUT), CUT)
    with pytest.raises(DecodeError):
        TRACES.request.FromString(body)
    payload = received(TRACES, body, {})
    assert payload.items == 1
    assert payload.message == with_text(MENDED)


def test_what_is_wrong_otherwise_stays_wrong() -> None:
    """Whole requests, truncated ones, other bytes and endless nesting: nothing to mend."""
    good = with_text("text").SerializeToString()
    for signal in SIGNALS.values():
        for body in (good, b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x7f", b"\x0b", bytes(9)):
            assert with_texts(signal, body) is None
    assert with_texts(TRACES, good[:-3]) is None
    for depth, is_mended in ((20, True), (80, False)):  # protobuf has 100 messages within messages
        nested = b"\x0a" + _written(len(CUT)) + CUT
        for _ in range(depth):
            for tag in (b"\x0a", b"\x2a"):  # a value in a list, the list in a value
                nested = tag + _written(len(nested)) + nested
        for tag in (b"\x12", b"\x0a", b"\x0a", b"\x0a"):  # of an attribute of a resource
            nested = tag + _written(len(nested)) + nested
        assert (with_texts(TRACES, nested) is not None) is is_mended
    with pytest.raises(BadRequestError):
        received(TRACES, good[:-3], {})


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (b"a\\ud83d", "a\ufffd"),
        (b"\\udE42b", "\ufffdb"),
        (b"\\ud83d\\ud83d\\ude42", "\ufffd🙂"),
        (b"\\\\ud83d \\ud83d", "\\ud83d \ufffd"),
        (b'\\"\\ud83d\\n', '"\ufffd\n'),
        (CUT, MENDED),
    ],
)
def test_json_may_hold_half_a_character_too(text: bytes, meant: str) -> None:
    """JavaScript writes one where it cuts a text between the halves of a pair."""
    (span,) = spans_of(ExportTraceServiceRequest.FromString(protobuf_of(TRACES, SPAN.encode().replace(b"TEXT", text))))
    assert attributes_of(span) == {"a": meant}


def test_json_that_is_wrong_otherwise_stays_wrong() -> None:
    """With half a character or without."""
    for body in (SPAN[:-1], SPAN.replace("TEXT", "\\ud83d")[:-1], '{"a": \\ud83d}'):
        with pytest.raises(BadRequestError, match="not JSON"):
            protobuf_of(TRACES, body.encode())


def test_json_has_lower_camel_names_alone() -> None:
    """The specification: a field's own name is unknown, and what is unknown is ignored."""
    assert protobuf_of(TRACES, SPAN.replace("resourceSpans", "resource_spans").encode()) == b""
    own = SPAN.replace('"startTimeUnixNano"', '"start_time_unix_nano" ').replace("TEXT", '{\\"a_b\\": 1}')
    (span,) = spans_of(ExportTraceServiceRequest.FromString(protobuf_of(TRACES, own.encode())))
    assert (span.start_time_unix_nano, span.name, attributes_of(span)) == (0, "n", {"a": '{"a_b": 1}'})
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
