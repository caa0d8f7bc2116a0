"""A finished span as a plain tuple: what OTLP JSON is read into, and what crosses from one process to another.

A row becomes the SDK's own ``ReadableSpan``, filled without its constructor: a file of a million spans is read at the speed of
the JSON parser, not of argument checking.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

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
_WITHOUT_REFERENCES = 2
"""Version of the marshal format: to look for objects seen before takes longer than to write them again."""
_MOST_KEYS = 10_000
_keys: dict[tuple[str, ...], tuple[str, ...]] = {}


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


class Folded(NamedTuple):
    """A row that takes a tenth of the memory, for those that have to wait: the keys of its attributes apart, the rest as bytes.

    Most spans of an app have the same keys in the same order, and then share ``keys``.
    """

    resource: Resource
    scope: InstrumentationScope
    keys: tuple[str, ...]
    rest: bytes


def fold(row: Row) -> Folded:
    """Fold a row."""
    attributes: dict[str, Any] = row[10]
    keys = tuple(attributes)
    if len(_keys) > _MOST_KEYS:
        _keys.clear()
    rest = marshal.dumps((*row[2:10], *row[11:], *attributes.values()), _WITHOUT_REFERENCES)
    return Folded(row[0], row[1], _keys.setdefault(keys, keys), rest)


def pack(rows: Sequence[Folded]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Resources, scopes, keys and rows as what :mod:`marshal` can write; a row names the first three by index."""
    resources, scopes, keys = _Table(), _Table(), _Table()
    packed = [(resources.place(row[0]), scopes.place(row[1]), keys.place(row[2]), row[3]) for row in rows]
    return (
        [dict(resource.attributes) for resource in resources.items],
        [(scope.name, scope.version, scope.schema_url) for scope in scopes.items],
        keys.items,
        packed,
    )


def unpack(resources: list[Any], scopes: list[Any], keys: list[Any], packed: list[Any]) -> Iterator[ReadableSpan]:
    """The spans of the rows that :func:`pack` took, each made when it is asked for."""
    all_resources = [Resource(attributes) for attributes in resources]
    all_scopes = [InstrumentationScope(*parts) for parts in scopes]
    for resource, scope, shape, rest in packed:
        name, trace_id, span_id, state, parent, kind, start, end, status, events, links, *values = marshal.loads(rest)
        attributes = dict(zip(keys[shape], values, strict=True))
        yield span_of(
            all_resources[resource], all_scopes[scope], name, trace_id, span_id, state, parent, kind, start, end, attributes,
            status, events, links,
        )  # fmt: skip


class _Table:
    """Objects, each once, by identity."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._places: dict[int, int] = {}

    def place(self, item: object) -> int:
        place = self._places.get(id(item))
        if place is None:
            place = self._places[id(item)] = len(self.items)
            self.items.append(item)
        return place


def _state(header: str) -> TraceState:
    return TraceState.from_header([header])


def _status(code: int, message: str | None) -> Status:
    return _OK if code == StatusCode.OK.value else Status(StatusCode(code), message)


def _link(trace_id: int, span_id: int, state: str | None, attributes: dict[str, Any]) -> Link:
    context = SpanContext(trace_id, span_id, True, _SAMPLED, _state(state) if state else _NO_STATE)
    return Link(context, attributes)
