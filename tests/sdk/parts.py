"""Small real parts for the tests of the host: an enricher that claims spans, and exporters that remember."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.component import ComponentID
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan, handoff
from spectra_otel.pipeline import BuiltExporter, Pipeline

COST = "gen_ai.usage.cost.amount"


class Pricer:
    """Claims spans with ``gen_ai.operation.name``, prices each at one cent, and counts how often it saw a span."""

    def __init__(self) -> None:
        self.seen = 0

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        self.seen += len(spans)
        return [self._priced(span) for span in spans]

    @staticmethod
    def _priced(span: ReadableSpan) -> ReadableSpan:
        values: dict[str, Any] = handoff.take(span.context) or {}
        if "gen_ai.operation.name" not in (span.attributes or {}) and not values:
            return span
        assert span.context is not None
        record = TrackedRequest({"id": f"{span.context.trace_id:032x}-{span.context.span_id:016x}", **values}, span)
        tracked = TrackedSpan(span, record, bears_cost=True)
        tracked.set_attributes({COST: 0.01})
        return tracked


class Remembering(SpanExporter):
    """Keeps what it gets; ``fail`` makes it refuse, ``gate`` makes it wait."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.fail = False
        self.gate = threading.Event()
        self.gate.set()
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.gate.wait(5)
        self.threads.add(threading.current_thread().name)
        if self.fail:
            return SpanExportResult.FAILURE
        self.spans += spans
        self.batches.append(len(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True

    def priced(self) -> list[ReadableSpan]:
        return [span for span in self.spans if COST in (span.attributes or {})]


def pipeline(
    store: SpanExporter | None, *others: SpanExporter, name: str = "traces", enricher: Pricer | None = None
) -> Pipeline:
    """A pipeline of one enricher, an exporter that keeps records, and others."""
    exporters = [BuiltExporter(ComponentID("store"), store, records=True)] if store is not None else []
    exporters += [BuiltExporter(ComponentID("other", str(n)), other) for n, other in enumerate(others)]
    return Pipeline(ComponentID(name), enrichers=[enricher or Pricer()], exporters=exporters)
