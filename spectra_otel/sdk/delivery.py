"""What happens to a span after it ended: enriched once, queued, processed, stored and sent, announced.

::

    enrich (usage, cost …) ─► the app's own exporters
                          └─► queue ─► worker: the pipelines' other processors ─► records on disk ─► events
                                                                              └─► a queue per other exporter
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import RLock
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from spectra_otel import faults
from spectra_otel.component import Processor
from spectra_otel.forks import in_forked_child
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan, handoff, record_of
from spectra_otel.pipeline import BuiltExporter, GuardedProcessor, Pipeline
from spectra_otel.pipeline import shutdown as shut_down
from spectra_otel.sdk.queue import WorkQueue

LINGER_SECONDS = {"sync": 0.0, "background": 0.2, "after_response": 5.0}
"""By ``SPECTRA_PERSISTENCE``: how long a record may wait for company before it is written."""


class Delivery:
    """Runs the pipelines of one process.

    ``persistence`` is a key of :data:`LINGER_SECONDS`; with ``sync`` the call does not return before its record is on disk.
    ``announce`` gets each new record once, on a worker thread, after the records exporter reported success; ``tally`` gets
    every record then, updates too. ``on_worker`` is called when a process starts its worker.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        *,
        persistence: str = "background",
        announce: Callable[[TrackedRequest], None] | None = None,
        tally: Callable[[Sequence[TrackedRequest]], None] | None = None,
        on_worker: Callable[[], None] | None = None,
    ) -> None:
        self.pipelines = list(pipelines)
        self._announce = announce
        self._tally = tally
        self._enrichers = _each_once(pipelines)
        self.is_sync = persistence == "sync"
        self._takes_all = any(p.processors or p.late or any(not e.records for e in p.exporters) for p in pipelines)
        self._records = WorkQueue[ReadableSpan](
            "records", self._deliver, linger=LINGER_SECONDS[persistence], on_worker=on_worker
        )
        self._events = WorkQueue[TrackedRequest]("events", self._say, linger=0.0)
        self._lanes = {
            id(e.exporter): WorkQueue[ReadableSpan](str(e.id), _sender(e), linger=1.0, limit=10_000)
            for p in pipelines
            for e in p.exporters
            if not e.records
        }
        self._reset()
        in_forked_child(self._reset)

    def _reset(self) -> None:
        self._held: dict[int, Sequence[ReadableSpan]] = {}
        self._store_lock = RLock()  # a signal handler may flush in the middle of a flush

    def enrich(self, span: ReadableSpan) -> ReadableSpan:
        """The span to go on with; ``span`` itself where we have nothing to add.

        What else the enrichers made of it (an update to an earlier record) goes to our queue only.
        """
        result = _run(self._enrichers, (span,))
        if len(result) == 1:
            return result[0]
        mine = [s for s in result if s.context == span.context and not _is_update(s)]
        for other in result:
            if not mine or other is not mine[0]:
                self._enqueue(other)
        return mine[0] if mine else span

    def take(self, span: ReadableSpan) -> None:
        """Queue an enriched span for our own exporters."""
        if isinstance(span, TrackedSpan):
            if span.context is not None and not span.context.trace_flags.sampled:
                span.is_recorded_only = True
            self._enqueue(span)
        elif self._takes_all and span.context is not None and span.context.trace_flags.sampled:
            self._records.put(span)

    def record(self, span: ReadableSpan, values: Mapping[str, Any]) -> None:
        """Take a span that the app's sampler dropped, with what its instrumentor knows."""
        if span.context is not None:
            handoff.leave(span.context, dict(values))
        for tracked in _run(self._enrichers, (span,)):
            if isinstance(tracked, TrackedSpan):
                tracked.is_recorded_only = True
                self._enqueue(tracked)

    def complete(self, span: TrackedSpan) -> None:
        """Take a later state of a record: priced, stored and announced, and sent nowhere."""
        for tracked in _run(self._enrichers, (span,)):
            self._enqueue(tracked)

    def make_room(self) -> None:
        """Return when less than half of the records that may wait do."""
        if self._records.waiting > self._records.limit // 2:
            self._records.flush()

    def force_flush(self, deadline: float) -> bool:
        """Write and send all that waits, until ``deadline`` (of ``time.monotonic``)."""
        self._retry_held()
        queues: list[WorkQueue[Any]] = [self._records, *self._lanes.values(), self._events]
        # The first queue feeds the others; each has at least a moment, even when one before it used up the time.
        flushed = [queue.flush(_left(deadline) / 1000) for queue in queues]
        # The SDK's own base class of exporters returns None.
        flushed += [e.force_flush(_left(deadline)) is not False for p in self.pipelines for e in p.exporters]
        return all(flushed) and not self._held

    def shutdown(self) -> None:
        """Shut the exporters down."""
        shut_down(self.pipelines)

    def _enqueue(self, span: ReadableSpan) -> None:
        if record_of(span) is None and not self._takes_all:
            return
        self._records.put(span)
        if self.is_sync and record_of(span) is not None:
            self._records.flush()

    def _deliver(self, spans: Sequence[ReadableSpan]) -> None:
        """On the worker: the pipelines' own processors, then the exporters that keep records, then hand on to the others."""
        stored: dict[int, TrackedRequest] = {}
        keeps_records = False
        for pipeline in self.pipelines:
            early = _run(pipeline.processors, spans)
            kept = _run(pipeline.late, early)
            for built in pipeline.exporters:
                if built.records:
                    keeps_records = True
                    stored.update((id(r), r) for r in self._store(built, kept))
                else:
                    lane = self._lanes[id(built.exporter)]
                    for span in early if built.redacts else kept:
                        if built.takes(span):
                            lane.put(span)
        self._recorded(list(stored.values()) if keeps_records else _records(spans))

    def _store(self, built: BuiltExporter, spans: Sequence[ReadableSpan]) -> list[TrackedRequest]:
        """The records that are now on disk. What the exporter refused is held back and tried with the next batch."""
        with self._store_lock:
            spans = [*self._held.pop(id(built.exporter), ()), *spans]
            if built.export(spans) is SpanExportResult.SUCCESS:
                return _records(spans)
            faults.report(
                f"exporter {built.id}", "records could not be stored; they are kept in memory and tried again"
            )
            keep = spans[-self._records.limit :]
            self._records.dropped += len(spans) - len(keep)
            self._held[id(built.exporter)] = keep
            return []

    def _retry_held(self) -> None:
        for built in (e for p in self.pipelines for e in p.exporters if id(e.exporter) in self._held):
            self._recorded(self._store(built, ()))

    def _recorded(self, records: Sequence[TrackedRequest]) -> None:
        if not records:
            return
        if self._tally is not None:
            self._tally(records)
        if self._announce is not None:
            for record in records:
                if _is_news(record):
                    self._events.put(record)

    def _say(self, records: Sequence[TrackedRequest]) -> None:
        for record in records:
            if self._announce is not None:
                self._announce(record)


def _each_once(pipelines: Sequence[Pipeline]) -> list[Processor]:
    """The enrichers; of a type that several pipelines have, the first one's: a span is read and priced once."""
    chosen: list[Processor] = []
    for pipeline in pipelines:
        taken = {_type(processor) for processor in chosen}
        chosen += [processor for processor in pipeline.enrichers if _type(processor) not in taken]
    return chosen


def _type(processor: Processor) -> object:
    return processor.id.type if isinstance(processor, GuardedProcessor) else type(processor)


def _run(processors: Iterable[Processor], spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
    for processor in processors:
        spans = processor.process(spans) if spans else spans
    return spans


def _sender(built: BuiltExporter) -> Callable[[Sequence[ReadableSpan]], None]:
    """The sink of an exporter's own queue. It retries by itself as far as its settings say; what it then gives up is lost."""

    def send(spans: Sequence[ReadableSpan]) -> None:
        if built.export(spans) is not SpanExportResult.SUCCESS:
            faults.report(f"exporter {built.id}", "a batch could not be exported")

    return send


def _left(deadline: float) -> int:
    """Milliseconds to ``deadline``, at least a moment."""
    return max(50, int((deadline - time.monotonic()) * 1000))


def _records(spans: Iterable[ReadableSpan]) -> list[TrackedRequest]:
    return [record for span in spans if (record := record_of(span)) is not None]


def _is_news(record: TrackedRequest) -> bool:
    """Whether a record is announced: when it is made; that of a job, when the job is done."""
    if record.rev:
        return isinstance(record.span, TrackedSpan) and record.span.completes
    return record["cost_status"] != "billed_unknown" or bool(record["is_failed"] or record["is_aborted"])


def _is_update(span: ReadableSpan) -> bool:
    record = record_of(span)
    return record is not None and record.rev > 0
