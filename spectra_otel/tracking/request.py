"""One call to a provider, from its start to its record, whoever saw it: an HTTP client, ``track`` or a stream by hand.

A :class:`Request` has one finaliser, :meth:`Request.finish`, and it works once: the end of a body, ``close``, a cancelled task
and the garbage collector may all call it.

Where the record goes: onto a span of our own, made at the start; or, when a model-call span of another instrumentation is
current, onto that span, as long as it lasts. A span that the app's sampler dropped is recorded without being exported.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from spectra_otel.model.spans import TrackedSpan, handoff
from spectra_otel.tracking.spans import (
    ROLLUP,
    SCOPE,
    known_values,
    model_call_span,
    of_its_own,
    parent_context,
    record_attributes,
    span_name,
    start_attributes,
    tracer_of_trace,
)

if TYPE_CHECKING:
    from spectra_otel.budgets.ticket import Ticket

Values = dict[str, Any]


class Owner(Protocol):
    """What a request needs of the host."""

    def tracer(self) -> Tracer: ...

    @property
    def resource(self) -> Resource: ...

    def record(self, span: ReadableSpan, values: Mapping[str, Any]) -> None: ...

    def complete(self, span: TrackedSpan) -> None: ...

    def make_room(self) -> None: ...


class Request:
    """One call. ``values`` are the record fields known so far; ``span`` is ours, None while another's stands for the call."""

    __slots__ = (
        "_borrowed",
        "_clock",
        "_context",
        "_end",
        "_once",
        "_owner",
        "_said",
        "_started",
        "_trace",
        "context",
        "first_chunk_ns",
        "span",
        "ticket",
        "values",
    )

    def __init__(self, owner: Owner, values: Values, *, borrow: bool = True, trace: int | None = None) -> None:
        self._owner = owner
        self.values = values
        self.ticket: Ticket | None = None
        """What budgets reserved for it; settled with the record."""
        self._once = Lock()
        self._started = time.time_ns()
        self._clock = time.perf_counter_ns()
        self._end: int | None = None
        self.first_chunk_ns: int | None = None
        self._trace = trace
        self.context = context_api.get_current()
        self._borrowed = model_call_span(self.context) if borrow else None
        self._said: dict[str, Any] = {}
        self.span: Span | None = None
        if self._borrowed is None:
            self.span = self._start_span()
        else:
            _earlier_attempts.part(self._borrowed)

    @property
    def is_finished(self) -> bool:
        """Whether the record was made."""
        return self._once.locked()

    def seen_first_chunk(self) -> None:
        """The first piece of a streamed answer is here."""
        self.first_chunk_ns = time.perf_counter_ns() - self._clock

    def finish(self, values: Mapping[str, Any] | None = None) -> bool:
        """Make the record, with these fields added. True for the one call that did."""
        if not self._once.acquire(blocking=False):
            return False
        elapsed = time.perf_counter_ns() - self._clock
        if values:
            self.values.update(values)
        self._add_pace(elapsed)
        self._end = self._started + elapsed
        borrowed = self._borrowed
        if borrowed is not None and borrowed.is_recording() and _earlier_attempts.claim(borrowed, self):
            self._write_on(borrowed)
        else:
            self.emit()
        self._settle()
        return True

    def emit(self) -> None:
        """Make the record on a span of our own, which ends when the call did."""
        span = self.span or self._start_span()
        values = known_values(self.values)
        end = self._end or time.time_ns()
        if self.ticket is not None:
            self.ticket.leave(span.get_span_context())
        if not span.is_recording():
            self._owner.record(self._as_readable(span, values, end), values)
            return
        attributes = record_attributes(values)
        for key, value in self._said.items():  # an attribute costs a microsecond to set, also when it is there
            if attributes.get(key) == value:
                del attributes[key]
        span.set_attributes(attributes)
        if values.get("is_failed"):
            span.set_status(Status(StatusCode.ERROR, values.get("error_message")))
        handoff.leave(span.get_span_context(), values)
        span.end(end)

    def add_event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Add an event to the span that stands for the call."""
        span = self.span or self._borrowed
        if span is not None:
            span.add_event(name, attributes)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of the span that stands for the call."""
        span = self.span or self._borrowed
        if span is not None:
            span.set_attributes(attributes)

    def _settle(self) -> None:
        """Where no pipeline has settled with the priced record by now, the budgets are charged by what the wire said."""
        if self.ticket is not None and self.ticket.settled is None:
            self.ticket.settle(self.values)

    def as_record(self) -> Values:
        """The fields of the record, with its identity, as they stand: what completes it later begins with them."""
        span = self.span or self._borrowed
        context = span.get_span_context() if span is not None else trace.INVALID_SPAN_CONTEXT
        parent = None if self._trace is not None or self.span is None else parent_context(self.context)
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        return {
            **known_values(self.values),
            "id": f"{trace_id}-{span_id}",
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": f"{parent.span_id:016x}" if parent is not None else None,
            "started_at": datetime.fromtimestamp(self._started // 1000 / 1e6, UTC),
            "instrumentation": SCOPE,
        }

    def drop(self) -> None:
        """Make no record, and leave the span that was begun for it as it is: nobody gets it."""
        self._once.acquire(blocking=False)

    def finish_as_wrapper(self, values: Mapping[str, Any]) -> None:
        """End without a record: what happened inside has records of its own."""
        if not self._once.acquire(blocking=False) or self.span is None:
            return
        self.span.update_name(f"track {span_name(self.values).partition(' ')[2]}".strip())
        self.span.set_attributes({**record_attributes(known_values({**self.values, **values})), ROLLUP: True})
        self.span.end()

    def _start_span(self) -> Span:
        tracer = self._owner.tracer()
        context, links = self.context, None
        if self._trace is not None:
            here = trace.get_current_span(context).get_span_context()
            links = [Link(here)] if here.is_valid else None
            context = trace.set_span_in_context(trace.INVALID_SPAN, context)
            tracer = tracer_of_trace(tracer, self._trace)
        self._said = start_attributes(self.values)
        span = tracer.start_span(
            span_name(self.values),
            context=context,
            kind=SpanKind.CLIENT,
            attributes=self._said,
            links=links,
            start_time=self._started,
        )
        return span if span.is_recording() else of_its_own(span, trace.get_current_span(context), self._trace)

    def _write_on(self, span: SdkSpan) -> None:
        """Add what the wire says to the span that another instrumentation made for this call."""
        values = known_values(self.values)
        attributes = record_attributes(values, span.attributes)
        attributes.pop("error.type", None)  # nobody could take it back, should the next attempt go well
        span.set_attributes(attributes)
        if self.ticket is not None:
            self.ticket.leave(span.get_span_context())
        handoff.leave(span.get_span_context(), values)

    def _add_pace(self, elapsed: int) -> None:
        first = self.first_chunk_ns
        if first is None:
            return
        self.values["time_to_first_token_ms"] = first // 1_000_000
        written = self.values.get("completion_tokens")
        if written and elapsed > first:
            self.values["tokens_per_second"] = round(written * 1e9 / (elapsed - first), 3)

    def _as_readable(self, span: Span, values: Values, end: int) -> ReadableSpan:
        failed = values.get("is_failed")
        return ReadableSpan(
            name=span_name(values),
            context=span.get_span_context(),
            parent=None if self._trace is not None else parent_context(self.context),
            resource=self._owner.resource,
            attributes=start_attributes(values) | record_attributes(values),
            kind=SpanKind.CLIENT,
            instrumentation_scope=InstrumentationScope(SCOPE),
            status=Status(StatusCode.ERROR, values.get("error_message")) if failed else Status(),
            start_time=self._started,
            end_time=end,
        )


class _EarlierAttempts:
    """The attempt that was written on a borrowed span, until the span ends or a next attempt takes its place.

    An SDK that retries sends several requests under one span. The last attempt's record belongs on the span; a failed one
    before it becomes a span and record of its own, which is known only when the next one starts. An answer that came before
    stays where it is, and the next one is on its own.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._lock = Lock()
        self._limit = limit
        self._written: OrderedDict[tuple[int, int], Request] = OrderedDict()

    def part(self, span: SdkSpan) -> None:
        """A further attempt starts under ``span``: a failed one before it leaves the span."""
        key = _key(span)
        with self._lock:
            before = self._written.get(key)
            if before is None or not before.values.get("is_failed"):
                return
            del self._written[key]
        handoff.take(span.get_span_context())
        before.emit()

    def claim(self, span: SdkSpan, request: Request) -> bool:
        """Whether ``request`` may write on ``span``: nobody did, or none that still stands."""
        key = _key(span)
        with self._lock:
            if key in self._written:
                return False
            self._written[key] = request
            if len(self._written) > self._limit:
                self._written.popitem(last=False)
        return True


def _key(span: Span) -> tuple[int, int]:
    context = span.get_span_context()
    return context.trace_id, context.span_id


_earlier_attempts = _EarlierAttempts()
