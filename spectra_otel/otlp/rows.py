"""A finished span as a plain tuple: what OTLP JSON is read into, and what crosses from one process to another.

A row becomes the SDK's own ``ReadableSpan``, filled without its constructor: a file of a million spans is read at the speed of
the JSON parser, not of argument checking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

Row: TypeAlias = tuple[Any, ...]
"""The parameters of :func:`span_of`, in their order."""

END = 9
"""Where a row has its end in nanoseconds."""

_SAMPLED, _NO_STATE = TraceFlags(TraceFlags.SAMPLED), TraceState()
_UNSET, _OK = Status(StatusCode.UNSET), Status(StatusCode.OK)
_KINDS = {kind.value: kind for kind in SpanKind}


def span_of(
    resource: Resource, scope: InstrumentationScope, name: str, trace_id: int, span_id: int, state: str | None, parent: int,
    kind: int, start: int, end: int, attributes: dict[str, Any], status: tuple[int, str | None] | None,
    events: Sequence[tuple[str, dict[str, Any], int]], links: Sequence[tuple[int, int, str | None, dict[str, Any]]],
) -> ReadableSpan:  # fmt: skip
    """The span of a row. ``parent`` 0: none; ``kind`` as ``SpanKind`` has it; ``status`` None: unset; times in ns."""
    made = ReadableSpan.__new__(ReadableSpan)
    made.__dict__ = {
        "_name": name,
        "_context": SpanContext(trace_id, span_id, False, _SAMPLED, _state(state) if state else _NO_STATE),
        "_kind": _KINDS[kind],
        "_instrumentation_info": None,
        "_instrumentation_scope": scope,
        "_parent": SpanContext(trace_id, parent, True, _SAMPLED, _NO_STATE) if parent else None,
        "_start_time": start,
        "_end_time": end,
        "_attributes": attributes,
        "_events": [Event(*event) for event in events] if events else (),
        "_links": [_link(*link) for link in links] if links else (),
        "_resource": resource,
        "_status": _status(*status) if status else _UNSET,
    }
    return made


def pack(rows: Sequence[Row]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Resources, scopes, shapes and rows as what :mod:`marshal` can write.

    A row names its resource, its scope and the keys of its attributes by index: most spans of an app have the same ones.
    """
    resources: list[Any] = []
    scopes: list[Any] = []
    shapes: dict[tuple[str, ...], int] = {}
    places: dict[int, int] = {}
    packed: list[Any] = []
    for row in rows:
        resource, scope, attributes = row[0], row[1], row[10]
        place = places.get(id(resource))
        if place is None:
            place = places[id(resource)] = len(resources)
            resources.append(dict(resource.attributes))
        scope_place = places.get(id(scope))
        if scope_place is None:
            scope_place = places[id(scope)] = len(scopes)
            scopes.append((scope.name, scope.version, scope.schema_url))
        shape = shapes.setdefault(tuple(attributes), len(shapes))
        packed.append((place, scope_place, *row[2:10], shape, *attributes.values(), *row[11:]))
    return resources, scopes, list(shapes), packed


def unpack(resources: list[Any], scopes: list[Any], shapes: list[Any], packed: list[Any]) -> list[ReadableSpan]:
    """The spans of the rows that :func:`pack` took."""
    all_resources = [Resource(attributes) for attributes in resources]
    all_scopes = [InstrumentationScope(*parts) for parts in scopes]
    return [_unpacked(row, all_resources, all_scopes, shapes) for row in packed]


def _unpacked(
    row: Row, resources: list[Resource], scopes: list[InstrumentationScope], shapes: list[Any]
) -> ReadableSpan:
    attributes = dict(zip(shapes[row[10]], row[11:-3], strict=True))
    return span_of(resources[row[0]], scopes[row[1]], *row[2:10], attributes, *row[-3:])  # type: ignore[call-arg]


def _state(header: str) -> TraceState:
    return TraceState.from_header([header])


def _status(code: int, message: str | None) -> Status:
    return _OK if code == StatusCode.OK.value else Status(StatusCode(code), message)


def _link(trace_id: int, span_id: int, state: str | None, attributes: dict[str, Any]) -> Link:
    context = SpanContext(trace_id, span_id, True, _SAMPLED, _state(state) if state else _NO_STATE)
    return Link(context, attributes)
