"""OTLP JSON to spans: `ExportTraceServiceRequest` documents, and spans to documents.

This is the form that the collector's file exporter writes: lowerCamelCase keys, ids in hex, 64-bit numbers as text or as
numbers. Unknown fields are ignored, as the OTLP specification asks.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from typing import Any, TypeAlias

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from spectra_otel.errors import ImportFormatError
from spectra_otel.otlp.rows import Row, span_of

OnError: TypeAlias = Callable[[ImportFormatError], None]
"""Told of each part of a document that cannot be used; the rest is read. Raising stops the reading."""

SIGNALS = ("resourceSpans", "resourceMetrics", "resourceLogs")
"""Keys of OTLP documents; the spans are in the first."""

_KINDS: dict[Any, int] = {
    0: SpanKind.INTERNAL.value, 1: SpanKind.INTERNAL.value, 2: SpanKind.SERVER.value, 3: SpanKind.CLIENT.value,
    4: SpanKind.PRODUCER.value, 5: SpanKind.CONSUMER.value, **{f"SPAN_KIND_{kind.name}": kind.value for kind in SpanKind},
}  # fmt: skip
_CODES: dict[Any, int] = {
    **{code.value: code.value for code in StatusCode}, **{f"STATUS_CODE_{code.name}": code.value for code in StatusCode},
}  # fmt: skip
_INTERNAL, _UNSET = SpanKind.INTERNAL.value, StatusCode.UNSET.value
_NO_SCOPE = InstrumentationScope("")


def fail(error: ImportFormatError) -> None:
    """The `OnError` that stops at the first thing that cannot be used."""
    raise error


def read_document(text: bytes | str, where: str, on_error: OnError = fail) -> list[ReadableSpan]:
    """The spans of one `ExportTraceServiceRequest`; ``where`` is what messages call it."""
    return list(starmap(span_of, read_rows(text, where, on_error)))


def read_rows(text: bytes | str, where: str, on_error: OnError = fail, first_line: int = 0) -> Iterator[Row]:
    """The spans of a document as rows. ``first_line``: where it begins, if messages are to name the line that is not JSON."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"{where}:{first_line + error.lineno - 1}" if first_line else where
        on_error(ImportFormatError(f"{place}: not JSON: {error.msg} at column {error.colno}"))
        return
    yield from rows_of(document, where, on_error)


def spans_of(document: Any, where: str, on_error: OnError = fail) -> list[ReadableSpan]:
    """The spans of a parsed document. A span that cannot be used goes to ``on_error``; the others are returned."""
    return list(starmap(span_of, rows_of(document, where, on_error)))


def rows_of(document: Any, where: str, on_error: OnError = fail) -> Iterator[Row]:
    """The spans of a parsed document as rows, one after the other: all at once do not fit a processor's cache."""
    if not isinstance(document, dict):
        on_error(
            ImportFormatError(f"{where}: not OTLP JSON: an object with resourceSpans is needed, got {_kind(document)}")
        )
        return
    if document and not any(key in document for key in SIGNALS):
        found = ", ".join(sorted(document)[:3])[:80]
        on_error(
            ImportFormatError(f"{where}: not OTLP JSON: an object with resourceSpans is needed, got the keys {found}")
        )
        return
    for i, group in enumerate(_objects(document, "resourceSpans", where, on_error)):
        place = f"{where}: resourceSpans[{i}]"
        resource = _resource(group.get("resource"), place, on_error)
        for j, scoped in enumerate(_objects(group, "scopeSpans", place, on_error)):
            scope = _scope(scoped.get("scope"), scoped.get("schemaUrl"))
            for k, span in enumerate(_objects(scoped, "spans", f"{place}.scopeSpans[{j}]", on_error)):
                try:
                    row = _row(span, resource, scope)
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                    on_error(ImportFormatError(f"{place}.scopeSpans[{j}].spans[{k}]: {_reason(error)}"))
                else:
                    yield row


def _objects(parent: Mapping[str, Any], key: str, where: str, on_error: OnError) -> list[dict[str, Any]]:
    items = parent.get(key)
    if items is None:
        return []
    if isinstance(items, list) and all(type(item) is dict for item in items):
        return items
    on_error(ImportFormatError(f"{where}: {key} must be a list of objects, got {_kind(items)}"))
    return [item for item in items if type(item) is dict] if isinstance(items, list) else []


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "a list", dict: "an object", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error) if isinstance(error, ValueError) else f"not as OTLP defines a span ({error})"


def _resource(value: Any, where: str, on_error: OnError) -> Resource:
    try:
        return Resource(_attributes((value or {}).get("attributes")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        on_error(ImportFormatError(f"{where}.resource: {_reason(error)}"))
        return Resource({})


def _scope(value: Any, schema_url: Any) -> InstrumentationScope:
    if not isinstance(value, dict):
        return _NO_SCOPE
    return InstrumentationScope(str(value.get("name", "")), value.get("version") or None, schema_url or None)


def _row(span: dict[str, Any], resource: Resource, scope: InstrumentationScope) -> Row:
    parent = span.get("parentSpanId")
    status = span.get("status")
    events = span.get("events")
    links = span.get("links")
    return (
        resource,
        scope,
        span.get("name", ""),
        _id(span["traceId"], 32, "traceId"),
        _id(span["spanId"], 16, "spanId"),
        _state(span),
        _id(parent, 16, "parentSpanId") if parent else 0,
        _KINDS.get(span.get("kind"), _INTERNAL),
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        _attributes(span.get("attributes")),
        _status(status) if status else None,
        [_event(event) for event in events] if events else (),
        [_link(link) for link in links] if links else (),
    )


def _state(item: dict[str, Any]) -> str | None:
    state = item.get("traceState")
    if state is not None and not isinstance(state, str):
        raise ValueError(f"traceState must be text, got {str(state)[:40]!r}")
    return state


def _id(text: Any, length: int, name: str) -> int:
    try:
        if len(text) == length:
            number = int(text, 16)
            if number > 0 and "_" not in text:
                return number
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name} must be {length} hex digits and not zero, got {str(text)[:40]!r}")


def _status(status: dict[str, Any]) -> tuple[int, str | None] | None:
    code = _CODES.get(status.get("code"), _UNSET)
    if code == _UNSET:
        return None
    return code, status.get("message") if code == StatusCode.ERROR.value else None


def _event(event: dict[str, Any]) -> tuple[str, dict[str, Any], int]:
    return event.get("name", ""), _attributes(event.get("attributes")), int(event.get("timeUnixNano") or 0)


def _link(link: dict[str, Any]) -> tuple[int, int, str | None, dict[str, Any]]:
    return (
        _id(link["traceId"], 32, "traceId"),
        _id(link["spanId"], 16, "spanId"),
        _state(link),
        _attributes(link.get("attributes")),
    )


def _attributes(items: list[dict[str, Any]] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not items:
        return found
    for item in items:
        value = item.get("value")
        if value:
            if "stringValue" in value:  # nearly all are texts and whole numbers
                found[item["key"]] = value["stringValue"]
            elif "intValue" in value:
                found[item["key"]] = int(value["intValue"])
            else:
                ((kind, content),) = value.items()
                found[item["key"]] = _value(kind, content)
    return found


def _value(kind: str, content: Any) -> Any:
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(*next(iter(value.items()))) for value in content.get("values") or () if value]
    if kind == "doubleValue":
        return float("nan" if content is None else content)  # JavaScript writes NaN as null
    if kind == "kvlistValue":  # the SDK's attributes are flat
        return orjson.dumps(_attributes(content.get("values"))).decode()
    return content  # stringValue, boolValue; bytesValue stays base64


def write_document(spans: list[ReadableSpan]) -> bytes:
    """One `ExportTraceServiceRequest` on one line, with its line end."""
    return orjson.dumps(document_of(spans), option=orjson.OPT_APPEND_NEWLINE)


def document_of(spans: list[ReadableSpan]) -> dict[str, Any]:
    """Spans as an OTLP JSON document: ids in hex, 64-bit numbers as text, as the specification has them."""
    groups: dict[int, tuple[Resource, dict[int, tuple[InstrumentationScope, list[dict[str, Any]]]]]] = {}
    for span in spans:
        scope = span.instrumentation_scope or _NO_SCOPE
        _, scopes = groups.setdefault(id(span.resource), (span.resource, {}))
        scopes.setdefault(id(scope), (scope, []))[1].append(_write_span(span))
    return {"resourceSpans": [_write_group(resource, scopes) for resource, scopes in groups.values()]}


def _write_group(
    resource: Resource, scopes: dict[int, tuple[InstrumentationScope, list[dict[str, Any]]]]
) -> dict[str, Any]:
    return {
        "resource": {"attributes": _write_attributes(resource.attributes)},
        "scopeSpans": [
            {
                "scope": _known(name=scope.name, version=scope.version),
                "spans": spans,
                **_known(schemaUrl=scope.schema_url),
            }
            for scope, spans in scopes.values()
        ],
    }


def _write_span(span: ReadableSpan) -> dict[str, Any]:
    context = span.context
    status = span.status
    assert context is not None  # a finished span of the SDK has one
    return _known(
        traceId=f"{context.trace_id:032x}",
        spanId=f"{context.span_id:016x}",
        traceState=context.trace_state.to_header(),
        parentSpanId=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        kind=span.kind.value + 1,
        startTimeUnixNano=str(span.start_time or 0),
        endTimeUnixNano=str(span.end_time or 0),
        attributes=_write_attributes(span.attributes),
        droppedAttributesCount=span.dropped_attributes,
        events=[
            _known(timeUnixNano=str(event.timestamp), name=event.name, attributes=_write_attributes(event.attributes))
            for event in span.events
        ],
        droppedEventsCount=span.dropped_events,
        links=[
            _known(
                traceId=f"{link.context.trace_id:032x}",
                spanId=f"{link.context.span_id:016x}",
                attributes=_write_attributes(link.attributes),
            )
            for link in span.links
        ],
        droppedLinksCount=span.dropped_links,
        status=_known(code=status.status_code.value, message=status.description),
    )


def _known(**values: Any) -> dict[str, Any]:
    """Without what is empty: absent is the default of every field of the protocol."""
    return {key: value for key, value in values.items() if value}


def _write_attributes(attributes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{"key": key, "value": _write_value(value)} for key, value in (attributes or {}).items()]


def _write_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case bytes():
            return {"bytesValue": b64encode(value).decode()}
        case Mapping():
            return {"kvlistValue": {"values": _write_attributes(value)}}
        case list() | tuple():
            return {"arrayValue": {"values": [_write_value(item) for item in value]}}
        case None:
            return {}
        case _:
            return {"stringValue": str(value)}
