"""Asking after a job: a request that makes no record of its own, but completes that of the call which began the job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from spectra_otel import faults
from spectra_otel.instrumentors.exchange import Exchange
from spectra_otel.instrumentors.media import Media
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.providers.base import Endpoint, Sent
from spectra_otel.providers.values import JOB, Values
from spectra_otel.tracking.spans import known_values, span_name, start_attributes

if TYPE_CHECKING:
    from spectra_otel.instrumentors.observing import Observer

_UNSETTLED = ("cost_status", "upper_bound_in_cents", "total_cost_in_cents", "status_code", "finish_reason", JOB)
"""Fields of the first record that the answer decides anew."""
_UNREAD = ("response_unreadable", "response_too_large")


class _Asking:
    """What an exchange needs of a request, without a span and a record."""

    span = None
    ticket = None

    def __init__(self, values: Values) -> None:
        self.values = values

    def seen_first_chunk(self) -> None:
        """The length of the first answer's wait says nothing about the job."""


class Poll(Exchange):
    """One request that asks after a job."""

    __slots__ = ("_seed",)

    def __init__(self, observer: Observer, row: Endpoint, sent: Sent, seed: Values) -> None:
        self._observer = observer
        self._row = row
        self._sent = sent
        self._size = 0
        self.reader = None
        self._body = None
        self._is_read = False
        self.status = None
        self._said = None
        self._media = Media() if observer.content is not None else None
        self._seed = seed
        values = {name: value for name, value in seed.items() if name not in _UNSETTLED}
        self.request: Any = _Asking({**values, "is_streaming": False})

    def asks_for_usage(self) -> bytes | None:
        """A poll is sent as it is."""
        return None

    def admit(self) -> None:
        """A poll costs nothing: no budget is asked."""

    async def admit_async(self) -> None:
        """The same on an event loop."""

    def rewritten(self) -> bytes | None:
        """A poll is sent as it is."""
        return None

    def failed(self, error: BaseException) -> None:
        """Nothing was learned of the job."""

    def give_up(self) -> None:
        """Nothing was learned of the job."""

    def _finish(self) -> None:
        try:
            values: Values = self.request.values
            job = self._sent.places["job"]
            answered = self.status is not None and self.status < 400 and self.status not in (202, 204)
            if self.reader is not None:  # the job's own stream, from where it was left
                answered = answered and self.reader.complete
                values.update(self.reader.finish())
            if not answered or JOB in values or values.get("is_aborted") or values.get("error_type") in _UNREAD:
                return
            if self._observer.jobs.claim(self._sent.provider.name, job):
                values["is_streaming"] = self._seed.get("is_streaming", False)
                values["status_code"] = self._seed.get("status_code")
                self._complete(values)
                self._observer.owner.complete(_update(values))
        except Exception as error:
            faults.report("jobs", error)


def _update(values: Values) -> TrackedSpan:
    """A later state of the record, which the pipeline prices and stores; no exporter of the app's gets it."""
    done = datetime.now(UTC)
    started: datetime = values["started_at"]
    fields = {**known_values(values), "completed_at": done}
    fields["latency_ms"] = max(0, round((done - started).total_seconds() * 1000))
    context = SpanContext(int(values["trace_id"], 16), int(values["span_id"], 16), False, TraceFlags(0))
    span = ReadableSpan(
        name=span_name(values),
        context=context,
        kind=SpanKind.CLIENT,
        attributes=start_attributes(values)
        | {name: value for name, value in values.items() if name.startswith("spectra.budget.")},
        start_time=round(started.timestamp() * 1e9),
        end_time=round(done.timestamp() * 1e9),
    )
    tracked = TrackedSpan(span, TrackedRequest(fields, rev=1), bears_cost=False)
    tracked.is_recorded_only = tracked.completes = True
    return tracked
