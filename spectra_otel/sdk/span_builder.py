"""Span builders: how a tracked request looks as a span in a backend."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanKind, Status

from spectra_otel.model.attributes import cost_attributes, usage_attributes
from spectra_otel.model.record import TrackedRequest


class SpanBuilder(ABC):
    """Makes the span that an exporter sends for a tracked request."""

    @abstractmethod
    def build(self, data: TrackedRequest) -> ReadableSpan | None:
        """The span for ``data``; None drops it for this exporter.

        ``data`` is a mapping of the record's fields (None: not known) and ``data.span`` the finished span it was made from.
        ``Decimal`` and None among the attributes are fine: they are converted, and left out.
        """


class DefaultSpanBuilder(SpanBuilder):
    """The span as it is, in the GenAI semantic conventions. Override what should differ; ids, parent and times stay."""

    def build(self, data: TrackedRequest) -> ReadableSpan | None:
        """Put the parts together."""
        span = _span_of(data)
        return ReadableSpan(
            name=self.span_name(data),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=exportable(self.attributes(data)),
            events=self.events(data),
            links=self.links(data),
            kind=self.kind(data),
            status=self.status(data),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def span_name(self, data: TrackedRequest) -> str:
        """Name of the span."""
        return _span_of(data).name

    def attributes(self, data: TrackedRequest) -> dict[str, Any]:
        """The full set that will be exported: what the instrumentation wrote, and what the record adds to it."""
        written = _span_of(data).attributes or {}
        return {**written, **usage_attributes(data, written), **cost_attributes(data)}

    def kind(self, data: TrackedRequest) -> SpanKind:
        """Kind of the span."""
        return _span_of(data).kind

    def status(self, data: TrackedRequest) -> Status:
        """Status of the span."""
        return _span_of(data).status

    def events(self, data: TrackedRequest) -> Sequence[Event]:
        """Events of the span."""
        return _span_of(data).events

    def links(self, data: TrackedRequest) -> Sequence[Link]:
        """Links of the span."""
        return _span_of(data).links


def exportable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """``attributes`` as OTLP can carry them: without None, ``Decimal`` as float, times as ISO 8601, maps as JSON."""
    return {key: _exportable(value) for key, value in attributes.items() if value is not None}


def _exportable(value: Any) -> Any:
    match value:
        case str() | bool() | int() | float() | bytes():
            return value
        case Decimal():
            return float(value)
        case date():
            return value.isoformat()
        case Mapping():
            return json.dumps(value, default=_exportable)
        case list() | tuple() | set() | frozenset():
            return [_exportable(item) for item in value if item is not None]
        case _:
            return str(value)


def _span_of(data: TrackedRequest) -> ReadableSpan:
    if data.span is None:
        raise ValueError("this request has no span; in tests make one with spectra_otel.testing.make_request()")
    return data.span
