"""A received trace request: its spans as the SDK's type, and back.

The carrier is the request as it came. Only spans that somebody reads become :class:`ReceivedSpan`; the rest stay in the protobuf.
:meth:`TraceRequest.render` writes what processors changed onto a fresh copy of the request, so a span that nobody changed goes
out as it came in, with its kind, flags and dropped counts. A request that nobody changed goes out byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spectra_otel.dialects._reader import Readers
from spectra_otel.otlp.lean import LeanRequest, Pairs, has_key, read_attributes
from spectra_otel.otlp.signals import TRACES

Place: TypeAlias = tuple[int, int, int]
"""Where a span stands in its request: resource, scope, span."""

Change: TypeAlias = Callable[[ReadableSpan], ReadableSpan | None]
"""What an exporter makes of a span: itself, another one, or None to leave it out."""

_KINDS = {1: SpanKind.INTERNAL, 2: SpanKind.SERVER, 3: SpanKind.CLIENT, 4: SpanKind.PRODUCER, 5: SpanKind.CONSUMER}
_CODES = {1: StatusCode.OK, 2: StatusCode.ERROR}
_UNSET, _OK = Status(StatusCode.UNSET), Status(StatusCode.OK)
_FLAGS = {value: TraceFlags(value) for value in range(256)}
_NO_STATE = TraceState()
_TRACE_ID, _SPAN_ID = 16, 8
_USUAL = b"gen_ai."


class BadRequestError(ValueError):
    """The body is not what its content type says; the sender must not try again."""


class ReceivedSpan(ReadableSpan):
    """A span of a received request, decoded; events and links when they are asked for."""

    _proto: Span
    place: Place
    """Where it stands in its request; copies that processors make keep it."""
    received: Mapping[str, Any]
    """Its attributes as they came."""

    def __init__(
        self, proto: Span, place: Place, resource: Resource, scope: InstrumentationScope, attributes: dict[str, Any]
    ) -> None:
        # Not ReadableSpan.__init__: this runs for every GenAI span.
        parent = proto.parent_span_id
        code = proto.status.code
        trace_id, flags = int.from_bytes(proto.trace_id, "big"), _FLAGS[proto.flags & 0xFF]
        state = proto.trace_state
        self.__dict__ = {
            "_name": proto.name,
            "_context": SpanContext(
                trace_id,
                int.from_bytes(proto.span_id, "big"),
                False,
                flags,
                TraceState.from_header([state]) if state else _NO_STATE,
            ),
            "_kind": _KINDS.get(proto.kind, SpanKind.INTERNAL),
            "_instrumentation_info": None,
            "_instrumentation_scope": scope,
            "_parent": SpanContext(trace_id, int.from_bytes(parent, "big"), True, flags, _NO_STATE) if parent else None,
            "_start_time": proto.start_time_unix_nano,
            "_end_time": proto.end_time_unix_nano,
            "_attributes": attributes,
            "_events": _Events(proto),
            "_links": _Links(proto),
            "_resource": resource,
            "_status": _OK if code == 1 else Status(StatusCode.ERROR, proto.status.message) if code == 2 else _UNSET,
            "_proto": proto,
            "place": place,
            "received": attributes,
        }

    @property
    def dropped_attributes(self) -> int:
        return self._proto.dropped_attributes_count

    @property
    def dropped_events(self) -> int:
        return self._proto.dropped_events_count

    @property
    def dropped_links(self) -> int:
        return self._proto.dropped_links_count


class PassedSpan(ReadableSpan):
    """A span that no dialect claims, for components that read claimed spans only: its ids and its place, nothing else."""

    def __init__(self, proto: Span, place: Place, scope: InstrumentationScope) -> None:
        self.__dict__ = {
            "_proto": proto,
            "place": place,
            "_instrumentation_scope": scope,
            "_attributes": None,
            "_name": "",
        }

    @property
    def context(self) -> SpanContext:
        proto: Span = self.__dict__["_proto"]
        return SpanContext(int.from_bytes(proto.trace_id, "big"), int.from_bytes(proto.span_id, "big"), True)

    @property
    def parent(self) -> SpanContext | None:
        proto: Span = self.__dict__["_proto"]
        if not proto.parent_span_id:
            return None
        return SpanContext(int.from_bytes(proto.trace_id, "big"), int.from_bytes(proto.parent_span_id, "big"), True)

    @property
    def attributes(self) -> None:
        return None


class _Events(Sequence[Event]):
    """The events of a span, decoded each time they are asked for, which is seldom."""

    __slots__ = ("_proto",)

    def __init__(self, proto: Span) -> None:
        self._proto = proto

    def __len__(self) -> int:
        return len(self._proto.events)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Event]:
        for event in self._proto.events:
            yield Event(event.name, read_attributes(event.attributes), event.time_unix_nano)


class _Links(Sequence[Link]):
    """The links of a span, decoded when they are asked for."""

    __slots__ = ("_proto",)

    def __init__(self, proto: Span) -> None:
        self._proto = proto

    def __len__(self) -> int:
        return len(self._proto.links)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Link]:
        for link in self._proto.links:
            context = SpanContext(
                int.from_bytes(link.trace_id, "big"),
                int.from_bytes(link.span_id, "big"),
                True,
                _FLAGS[link.flags & 0xFF],
            )
            yield Link(context, read_attributes(link.attributes))


class Claims:
    """Tells which spans of a request a dialect claims, without decoding them. For one thread."""

    def __init__(self) -> None:
        self._readers = Readers()
        self._prefixes = tuple(prefix.encode() for prefix in self._readers.prefixes)
        self.pairs = Pairs()

    def of(self, body: bytes) -> Callable[[Any], bool]:
        """Tells of the encoded attributes of a span in ``body`` whether a dialect claims it by one of their names.

        Only beginnings of names that occur in the body at all are looked for, and all but the usual one only where it comes to
        that: most requests hold either no other or none.
        """
        usual = (_USUAL,) if _USUAL in body else ()
        others: tuple[bytes, ...] | None = None

        def claims(attributes: Any) -> bool:
            nonlocal others
            if usual and has_key(attributes, usual):
                return True
            if others is None:
                others = tuple(prefix for prefix in self._prefixes if prefix != _USUAL and prefix in body)
            return bool(others) and has_key(attributes, others)

        return claims

    def by_scope(self, scope: InstrumentationScope) -> bool:
        """Whether every span of a scope is claimed."""
        return self._readers.claims_scope(scope.name, scope.version)


class TraceRequest:
    """One ``ExportTraceServiceRequest``.

    ``spans(every=True)`` gives all spans decoded; otherwise those that no dialect claims are :class:`PassedSpan`. ``items``: how
    many it has, where that is known. Raises :class:`BadRequestError` for bytes that are no request.
    """

    def __init__(self, body: bytes, items: int | None = None) -> None:
        self.body = body
        self._items = TRACES.count(parse(body)) if items is None else items

    def spans(self, claims: Claims, *, every: bool = False) -> list[ReadableSpan]:
        """The spans in the order of the request."""
        return list(self._read(claims, every))

    def parts(self, claims: Claims, most: int, *, every: bool = False) -> Iterator[list[ReadableSpan]]:
        """The same, so many at a time, decoded as they are asked for."""
        spans = self._read(claims, every)
        return iter(lambda: list(islice(spans, most)), [])  # a loop would hold a part while the next is made

    def _read(self, claims: Claims, every: bool) -> Iterator[ReadableSpan]:
        is_claimed = claims.of(self.body)
        for i, group in enumerate(LeanRequest.FromString(self.body).resource_spans):
            resource: Resource | None = None
            for j, scoped in enumerate(group.scope_spans):
                scope = read_scope(scoped)
                whole = claims.by_scope(scope)
                for k, proto in enumerate(scoped.spans):
                    claimed = whole or is_claimed(proto.attributes)
                    if every or (claimed and _has_ids(proto)):
                        if resource is None:
                            resource = Resource(read_attributes(group.resource.attributes))
                        attributes = claims.pairs.read(proto.attributes)
                        yield ReceivedSpan(proto, (i, j, k), resource, scope, attributes)
                    else:
                        yield PassedSpan(proto, (i, j, k), scope)

    def render(
        self,
        spans: Sequence[ReadableSpan],
        change: Change | None = None,
        resource_attributes: Mapping[str, str] | None = None,
    ) -> bytes:
        """The request with ``spans`` in the places of those they were made from; empty where none is left.

        A place that no span of ``spans`` has is left out of the request; a span without a place is added to it.
        """
        edits: dict[Place, ReadableSpan] = {}
        places: set[Place] = set()
        added: list[ReadableSpan] = []
        for span in spans:
            place: Place | None = getattr(span, "place", None)
            result = span if change is None or type(span) is PassedSpan else change(span)
            if place is None:
                added += [result] if result is not None else []
            elif result is not None:
                places.add(place)
                if _is_changed(result):
                    edits[place] = result
        missing = self._items - len(places)
        if not (edits or added or missing or resource_attributes):
            return self.body
        message = parse(self.body)
        for (i, j, k), span in edits.items():
            _write(message.resource_spans[i].scope_spans[j].spans[k], span)
        _write_resources(message, edits)
        if missing:
            _remove_others(message, places)
        if added:
            message.MergeFrom(_encode(added))
        for group in message.resource_spans if resource_attributes else ():
            _set_attributes(group.resource.attributes, resource_attributes or {})
        return message.SerializeToString() if message.resource_spans else b""


def in_place(change: Change) -> Change:
    """``change`` whose spans stand where the ones stood that they were made of; what no dialect claims is left alone."""

    def changed(span: ReadableSpan) -> ReadableSpan | None:
        made = span if type(span) is PassedSpan else change(span)
        if made is not None and made is not span:
            place = getattr(span, "place", None)
            if place is not None:
                made.__dict__["place"] = place
        return made

    return changed


def parse(body: bytes) -> ExportTraceServiceRequest:
    """Decode a request. Raises :class:`BadRequestError`."""
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise BadRequestError(str(error) or "not a protobuf message of this type") from None


def split(body: bytes, most: int) -> list[tuple[bytes, int]]:
    """A request as requests of at most ``most`` spans each, with their counts."""
    parts: list[tuple[bytes, int]] = []
    part, count = ExportTraceServiceRequest(), 0
    for group in parse(body).resource_spans:
        for scoped in group.scope_spans:
            target: ScopeSpans | None = None
            for proto in scoped.spans:
                if count == most:
                    parts.append((part.SerializeToString(), count))
                    part, count, target = ExportTraceServiceRequest(), 0, None
                target = target or _last_scope(part, group, scoped)
                target.spans.append(proto)
                count += 1
    return [*parts, (part.SerializeToString(), count)] if count else parts


def _last_scope(part: ExportTraceServiceRequest, group: ResourceSpans, scoped: ScopeSpans) -> ScopeSpans:
    """The group of ``part`` that continues ``scoped``; made where its resource or scope is another one."""
    last = part.resource_spans[-1] if part.resource_spans else None
    if last is None or last.resource != group.resource or last.schema_url != group.schema_url:
        last = part.resource_spans.add(resource=group.resource, schema_url=group.schema_url)
    target = last.scope_spans[-1] if last.scope_spans else None
    if target is None or target.scope != scoped.scope or target.schema_url != scoped.schema_url:
        target = last.scope_spans.add(scope=scoped.scope, schema_url=scoped.schema_url)
    return target


def check_ids(message: ExportTraceServiceRequest) -> None:
    """Raise :class:`BadRequestError` for an id of a length that OTLP does not have; an empty one is for the backend to judge."""
    for group in message.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) not in (0, _TRACE_ID):
                    raise BadRequestError(f"trace_id must have {_TRACE_ID} bytes, got {len(span.trace_id)}")
                if len(span.span_id) not in (0, _SPAN_ID) or len(span.parent_span_id) not in (0, _SPAN_ID):
                    raise BadRequestError(f"span_id and parent_span_id must have {_SPAN_ID} bytes")


def read_scope(scoped: ScopeSpans) -> InstrumentationScope:
    """The scope of a group of spans."""
    scope = scoped.scope
    return InstrumentationScope(scope.name, scope.version or None, scoped.schema_url or None)


def _has_ids(proto: Span) -> bool:
    """A record needs ids; without them every such span would be the same record."""
    return any(proto.trace_id) and any(proto.span_id)


def _is_changed(span: ReadableSpan) -> bool:
    return not (type(span) is PassedSpan or (type(span) is ReceivedSpan and span._attributes is span.received))


def _write(proto: Span, span: ReadableSpan) -> None:
    received: Mapping[str, Any] | None = getattr(span, "received", None)
    if received is None:  # somebody built it from nothing
        proto.CopyFrom(_encode([span]).resource_spans[0].scope_spans[0].spans[0])
        return
    own = span._attributes or {}
    changed = {key: value for key, value in own.items() if key not in received or received[key] is not value}
    if len(own) - len(changed) != len(received):
        kept = [pair for pair in proto.attributes if pair.key in own and pair.key not in changed]
        pairs = [KeyValue() for _ in kept]
        for copy, pair in zip(pairs, kept, strict=True):
            copy.CopyFrom(pair)
        del proto.attributes[:]
        proto.attributes.extend(pairs)
    for key, value in changed.items():
        if value is not None:
            write_value(proto.attributes.add(key=key).value, value)
    if not isinstance(span._events, _Events):
        _replace(proto.events, _encode([span]).resource_spans[0].scope_spans[0].spans[0].events)
    if not isinstance(span._links, _Links):
        _replace(proto.links, _encode([span]).resource_spans[0].scope_spans[0].spans[0].links)
    if span.name != proto.name:
        proto.name = span.name
    if span.status.status_code is StatusCode.ERROR and span.status.description != proto.status.message:
        proto.status.message = span.status.description or ""


def _replace(old: Any, new: Any) -> None:
    del old[:]
    old.extend(new)


def _write_resources(message: ExportTraceServiceRequest, edits: Mapping[Place, ReadableSpan]) -> None:
    """The attributes of a resource that a processor replaced, such as one that redacts."""
    seen: set[int] = set()
    for (i, _, _), span in edits.items():
        if i not in seen and getattr(span, "resource_is_changed", False):
            seen.add(i)
            attributes = message.resource_spans[i].resource.attributes
            del attributes[:]
            _set_attributes(attributes, span.resource.attributes)


def _set_attributes(pairs: Any, attributes: Mapping[str, Any]) -> None:
    known = {pair.key: pair for pair in pairs}
    for key, value in attributes.items():
        pair = known.get(key) or pairs.add(key=key)
        write_value(pair.value, value)


def write_value(target: AnyValue, value: Any) -> None:
    """Write an attribute's value; what OTLP has no type for is written as text."""
    if type(value) is str:
        target.string_value = value
    elif type(value) is bool:
        target.bool_value = value
    elif type(value) is int:
        target.int_value = value
    elif type(value) is float:
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Sequence) and not isinstance(value, str):
        target.array_value.SetInParent()
        for item in value:
            write_value(target.array_value.values.add(), item)
    else:
        target.string_value = str(value)


def _remove_others(message: ExportTraceServiceRequest, places: set[Place]) -> None:
    """Leave only the spans at ``places``, and no group that became empty."""
    for i in reversed(range(len(message.resource_spans))):
        group: ResourceSpans = message.resource_spans[i]
        for j in reversed(range(len(group.scope_spans))):
            scoped = group.scope_spans[j]
            for k in reversed(range(len(scoped.spans))):
                if (i, j, k) not in places:
                    del scoped.spans[k]
            if not scoped.spans:
                del group.scope_spans[j]
        if not group.scope_spans:
            del message.resource_spans[i]


def _encode(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    return encode_spans(spans)
