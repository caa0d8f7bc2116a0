"""OTLP JSON to spans and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from spectra_otel.errors import ImportFormatError
from spectra_otel.otlp.files import read_file
from spectra_otel.otlp.json import document_of, read_document, spans_of, write_document
from tests.made_spans import made

SPAN: dict[str, Any] = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "eee19b7ec3c1b173",
    "name": "chat gpt-4o",
    "kind": 3,
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": 1544712661000000000,
    "attributes": [
        {"key": "text", "value": {"stringValue": ""}},
        {"key": "whole", "value": {"intValue": "9007199254740993"}},
        {"key": "number", "value": {"intValue": 7}},
        {"key": "real", "value": {"doubleValue": 0.5}},
        {"key": "yes", "value": {"boolValue": False}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "2"}]}}},
        {"key": "nested", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}},
        {"key": "nothing", "value": {}},
    ],
    "events": [{"name": "exception", "timeUnixNano": "1544712660500000000", "attributes": []}],
    "status": {"code": 2, "message": "slow down"},
    "someFieldOfTomorrow": {"x": 1},
}


def request(*spans: Any, scope: Any = None) -> dict[str, Any]:
    """A request with these spans."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scoped = {"scope": scope or {"name": "my.scope", "version": "1.2"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def read(document: Any) -> tuple[list[ReadableSpan], list[str]]:
    """Spans of a document, and what was said of the rest."""
    errors: list[str] = []
    return spans_of(document, "f.json", lambda error: errors.append(str(error))), errors


def test_a_span_is_read_whole() -> None:
    """Ids of either case, 64-bit numbers as text or number, all kinds of values; what is unknown is ignored."""
    (span,), errors = read(request(SPAN))
    assert errors == []
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id) == (0x5B8EFFF798038103D269B633813FC60C, 0xEEE19B7EC3C1B174)
    assert (span.parent.span_id, span.parent.is_remote) == (0xEEE19B7EC3C1B173, True)
    assert (span.name, span.kind, span.start_time, span.end_time) == (
        "chat gpt-4o", SpanKind.CLIENT, 1544712660000000000, 1544712661000000000,
    )  # fmt: skip
    assert dict(span.attributes or {}) == {
        "text": "", "whole": 9007199254740993, "number": 7, "real": 0.5, "yes": False, "list": ["a", 2], "nested": '{"k":1}',
    }  # fmt: skip
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "slow down")
    assert [event.name for event in span.events] == ["exception"]
    assert span.resource.attributes["service.name"] == "shop"
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("my.scope", "1.2")


def test_what_is_written_is_read_again() -> None:
    """A span of the SDK keeps ids, times, attributes, events, status and scope."""
    events = [Event("exception", {"exception.type": "X"}, 5)]
    span = made(
        "s", {"a": 1, "b": "x", "c": (1.5, 2.5), "d": True}, version="2", parent=9, trace=7, error="no", events=events
    )
    (again,) = read_document(write_document([span]), "x")
    for name in ("context", "name", "kind", "start_time", "end_time", "status.description", "instrumentation_scope"):
        one, other = span, again
        for part in name.split("."):
            one, other = getattr(one, part), getattr(other, part)
        assert one == other, name
    assert dict(again.attributes or {}) == {"a": 1, "b": "x", "c": [1.5, 2.5], "d": True}
    assert again.events[0].attributes == {"exception.type": "X"}
    assert again.parent is not None
    assert again.parent.span_id == 9


def test_ids_are_hex_and_numbers_are_text() -> None:
    """As the OTLP specification asks of JSON."""
    document = document_of([made("s", {"n": 1}, trace=0xAB, id=0xCD)])
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (span["traceId"], span["spanId"]) == ("ab".rjust(32, "0"), "cd".rjust(16, "0"))
    assert span["attributes"] == [{"key": "n", "value": {"intValue": "1"}}]
    assert isinstance(span["startTimeUnixNano"], str)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"traceId": "xyz"}, "traceId must be 32 hex digits and not zero, got 'xyz'"),
        ({"traceId": "0" * 32}, "traceId must be 32 hex digits and not zero"),
        ({"spanId": "eee19b7ec3c1b17_"}, "spanId must be 16 hex digits"),
        ({"spanId": None}, "spanId must be 16 hex digits"),
        ({"parentSpanId": "12"}, "parentSpanId must be 16 hex digits"),
        ({"endTimeUnixNano": "soon"}, "soon"),
        ({"attributes": {"a": 1}}, "not as OTLP defines a span"),
        ({"attributes": [{"value": {"stringValue": "x"}}]}, "key is missing"),
        ({"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]}, "1.5"),
    ],
)
def test_a_bad_span_is_named_and_the_others_are_read(change: dict[str, Any], said: str) -> None:
    """The message says which span of which file, and why."""
    spans, errors = read(request(SPAN, {**SPAN, **change}, SPAN))
    assert len(spans) == 2
    assert len(errors) == 1
    assert errors[0].startswith("f.json: resourceSpans[0].scopeSpans[0].spans[1]: ")
    assert said in errors[0]
    assert "\n" not in errors[0]


@pytest.mark.parametrize(
    "document", [[], "text", 7, None, {"foo": 1}, {"resourceSpans": 7}, {"resourceSpans": [{"scopeSpans": "x"}]}]
)
def test_what_is_no_otlp_document_is_said_to_be_none(document: Any) -> None:
    """Valid JSON of another shape gives no spans, and one line."""
    spans, errors = read(document)
    assert spans == []
    assert len(errors) == 1


def test_empty_documents_and_other_signals_are_fine() -> None:
    """Nothing in them is for us, and nothing is wrong with them."""
    for document in ({}, {"resourceSpans": []}, {"resourceLogs": [{}]}, request()):
        assert read(document) == ([], [])


def test_a_file_of_lines_and_a_file_that_is_one_document(tmp_path: Path) -> None:
    """One request per line, as the collector's file exporter writes; or a document, on one line or many; or nothing."""
    for text, count in (
        (json.dumps(request(SPAN)) + "\n" + json.dumps(request(SPAN, SPAN)) + "\n\n", 3),
        (json.dumps(request(SPAN)), 1),
        (json.dumps(request(SPAN), indent=2), 1),
        ("", 0),
        ("{}\n", 0),
    ):
        path = tmp_path / "spans.json"
        path.write_text(text)
        assert len(list(read_file(path))) == count


def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """Whether it is the first, one in the middle, or a last one that was cut off."""
    good, path = json.dumps(request(SPAN)), tmp_path / "spans.jsonl"
    for bad in (1, 2, 3):
        lines = [good, good, good]
        lines[bad - 1] = good[:100]
        path.write_text("\n".join(lines))
        errors: list[ImportFormatError] = []
        assert len(list(read_file(path, errors.append))) == 2
        assert [str(error).partition(": ")[0] for error in errors] == [f"{path}:{bad}"]


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """One line with file and place; so is one that cannot be read."""
    path = tmp_path / "spans.json"
    path.write_text("<html>\n<body>")
    with pytest.raises(ImportFormatError, match=rf"{path}:1: not JSON: "):
        list(read_file(path))
    with pytest.raises(ImportFormatError, match="cannot be read: No such file"):
        list(read_file(tmp_path / "missing.json"))
