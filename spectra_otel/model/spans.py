"""How a record rides on a span through the pipeline, and how an instrumentor hands one to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from operator import attrgetter
from threading import Lock
from typing import Any, TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from spectra_otel.forks import in_forked_child
from spectra_otel.model.record import TrackedRequest


class TrackedSpan(ReadableSpan):
    """The pipeline's own copy of a span that a dialect claimed: the SDK's type, with a record and attributes we may add to.

    ``record`` is None on a roll-up span. ``bears_cost`` is False there, and also where the record is a late addition to the
    record of another span (same ``id``, higher ``rev``): its cost is stored, but never written on this span.
    """

    # Beside the SDK's own fields, which are a plain copy of the source's: such a copy shares its keys and is made in no time.
    __slots__ = ("_source", "bears_cost", "completes", "is_recorded_only", "record")

    record: TrackedRequest | None
    bears_cost: bool
    is_recorded_only: bool
    """The app's sampler dropped the span: it is stored, and not exported."""
    completes: bool
    """The record is the last word on a call whose first answer was a job."""
    _source: ReadableSpan

    def __init__(
        self,
        source: ReadableSpan,
        record: TrackedRequest | None,
        bears_cost: bool,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """``attributes`` are those of ``source`` where they were copied already; they are this span's from now on."""
        # Not ReadableSpan.__init__, which takes several times as long: this runs for every GenAI span.
        self.__dict__ = fields = source.__dict__.copy()
        fields["_attributes"] = attributes_of(source) if attributes is None else attributes
        self._source = source
        self.record = record
        self.bears_cost = bears_cost
        self.is_recorded_only = self.completes = False
        if record is not None:
            record.span = self

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to our copy; the app's span and other exporters' views stay as they were."""
        self.__dict__["_attributes"].update(attributes)

    @property
    def dropped_attributes(self) -> int:
        return self._source.dropped_attributes

    @property
    def dropped_events(self) -> int:
        return self._source.dropped_events

    @property
    def dropped_links(self) -> int:
        return self._source.dropped_links


Facts: TypeAlias = tuple[
    SpanContext | None, SpanContext | None, Resource, InstrumentationScope | None, int | None, int | None
]
_facts = attrgetter("_context", "_parent", "_resource", "_instrumentation_scope", "_start_time", "_end_time")
_properties = attrgetter("context", "parent", "resource", "instrumentation_scope", "start_time", "end_time")


def facts_of(span: ReadableSpan) -> Facts:
    """Context, parent, resource, scope, start and end (ns) of a span at once: its properties one by one take thrice as long."""
    try:
        found: Facts = _facts(span)
    except AttributeError:
        found = _properties(span)
    return found


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """A copy of a span's attributes, as a plain dict: each look into the SDK's own mapping costs ten times as much."""
    kept: Any = span.__dict__.get(
        "_attributes"
    )  # what `span.attributes` makes a view of, which takes longer than the copy
    try:
        copied = kept.copy()
    except AttributeError:
        copied = None
    return copied if type(copied) is dict else dict(span.attributes or {})


def events_of(span: ReadableSpan) -> Sequence[Event]:
    """The events of a span; where there are none, without the work of the SDK to say so."""
    return span.events if span.__dict__.get("_events", True) else ()


def record_of(span: ReadableSpan) -> TrackedRequest | None:
    """The record that rides on ``span``, if the pipeline gave it one."""
    return span.record if isinstance(span, TrackedSpan) else None


rejected: ContextVar[list[str] | None] = ContextVar("rejected", default=None)
"""Where a processor says why it takes a span out whose sender shall hear of it: a reason for each. None: no sender listens."""


class Handoff:
    """What an instrumentor of ours knows of a span from the wire, kept until the pipeline sees the span end.

    Keyed by (trace id, span id). Bounded: an entry whose span never ends is pushed out by ``limit`` younger ones and counted.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._fresh_lock()
        in_forked_child(self._fresh_lock)
        self._entries: dict[tuple[int, int], dict[str, Any]] = {}
        self.lost = 0

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def leave(self, context: SpanContext, values: dict[str, Any]) -> None:
        """Leave record fields, each of them known, for the span of ``context``; a second call adds to the first."""
        key = (context.trace_id, context.span_id)
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                known.update(values)
                return
            if len(self._entries) >= self._limit:
                self._entries.pop(next(iter(self._entries)))
                self.lost += 1
            self._entries[key] = values

    def take(self, context: SpanContext | None) -> dict[str, Any] | None:
        """The fields left for that span, once."""
        if context is None or not self._entries:
            return None
        return self._entries.pop((context.trace_id, context.span_id), None)

    def take_of(self, span: ReadableSpan) -> dict[str, Any] | None:
        """The fields left for ``span``, once. In most processes there are none for any span, which this finds out first."""
        return self.take(span.context) if self._entries else None


handoff = Handoff()
"""The one hand-off of the process."""
starts = Handoff()
"""Who a span is for, as its context said when it started: spans that other instrumentations make do not carry it."""
UNTRACKED = "spectra.untracked"
"""Left for a span that started where the app asked not to be tracked."""
