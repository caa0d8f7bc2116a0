"""Prints spans to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from google.protobuf.json_format import MessageToJson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.exporters.debug.config import DebugConfig


class DebugExporter(SpanExporter):
    """Prints each batch at the verbosity asked for, to ``stream`` (standard error by default)."""

    def __init__(self, config: DebugConfig, stream: TextIO | None = None) -> None:
        self._lines = _VERBOSITIES[config.verbosity]
        self._is_brief = config.verbosity == "basic"
        self._stream = stream

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Print ``spans`` in one write, so that batches of several threads do not mix."""
        self._write(self._lines(spans))
        return SpanExportResult.SUCCESS

    def print_request(self, signal: str, message: Any) -> None:
        """Print a request of metrics or logs: its size, and each resource as JSON unless that is too much."""
        groups = getattr(message, f"resource_{signal}")
        self._write([_sizes(signal, groups), *([] if self._is_brief else map(_json, groups))])

    def _write(self, lines: Iterable[str]) -> None:
        stream = self._stream if self._stream is not None else sys.stderr
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()


def _sizes(signal: str, groups: Sequence[Any]) -> str:
    inner, item = {"metrics": ("metrics", "metrics"), "logs": ("log_records", "log records")}[signal]
    count = sum(len(getattr(scope, inner)) for group in groups for scope in getattr(group, f"scope_{signal}"))
    return f'{signal.title()}\t{{"resource {signal}": {len(groups)}, "{item}": {count}}}'


def _json(group: Any) -> str:
    return MessageToJson(group, indent=None)


def _basic(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    resources = len({id(span.resource) for span in spans})
    yield f'Traces\t{{"resource spans": {resources}, "spans": {len(spans)}}}'


def _normal(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    yield from _basic(spans)
    for span in spans:
        trace_id, span_id = _ids(span)
        yield " ".join([span.name, trace_id, span_id, *_pairs(span.attributes)])


def _detailed(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    yield from _basic(spans)
    last = None
    for span in spans:
        if span.resource is not last:
            last = span.resource
            yield "Resource attributes:"
            yield from (f"     -> {pair}" for pair in _pairs(span.resource.attributes))
        yield from _span(span)


def _span(span: ReadableSpan) -> Iterator[str]:
    trace_id, span_id = _ids(span)
    scope = span.instrumentation_scope
    yield f"Span {span.name}"
    yield f"    Trace ID       : {trace_id}"
    yield f"    Parent ID      : {span.parent.span_id:016x}" if span.parent else "    Parent ID      :"
    yield f"    ID             : {span_id}"
    yield f"    Scope          : {scope.name} {scope.version or ''}".rstrip() if scope else "    Scope          :"
    yield f"    Kind           : {span.kind.name.title()}"
    yield f"    Start time     : {_time(span.start_time)}"
    yield f"    End time       : {_time(span.end_time)}"
    yield f"    Status code    : {span.status.status_code.name.title()}"
    yield f"    Status message : {span.status.description or ''}".rstrip()
    if span.attributes:
        yield "Attributes:"
        yield from (f"     -> {pair}" for pair in _pairs(span.attributes))
    for event in span.events:
        yield f"Event {event.name} at {_time(event.timestamp)}"
        yield from (f"     -> {pair}" for pair in _pairs(event.attributes))
    for link in span.links:
        yield f"Link {link.context.trace_id:032x} {link.context.span_id:016x}"


def _ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.context
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context else ("-", "-")


def _pairs(attributes: Mapping[str, Any] | None) -> Iterator[str]:
    """One line each, whatever the values hold."""
    return (
        f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}" for key, value in (attributes or {}).items()
    )


def _time(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return ""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_VERBOSITIES: dict[str, Callable[[Sequence[ReadableSpan]], Iterator[str]]] = {
    "basic": _basic,
    "normal": _normal,
    "detailed": _detailed,
}
