"""Pipelines: processors in a row, then exporters side by side, built from a document through the registry.

As in the collector, every pipeline has its own instance of a processor, and all pipelines share one instance of an exporter.
What a processor or exporter raises stops here: it is logged once, counted, and the others go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.component import ComponentID, Kind, Processor
from spectra_otel.config.document import Component, Document, PipelineSpec
from spectra_otel.errors import ConfigError
from spectra_otel.model.spans import TrackedSpan

_logger = logging.getLogger(__name__)


class GuardedProcessor:
    """A processor that cannot hurt: spans pass it unchanged where it raises. ``faults`` counts how often it did."""

    def __init__(self, id_: ComponentID, processor: Processor) -> None:
        self.id = id_
        self.processor = processor
        self.faults = 0

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        try:
            return self.processor.process(spans)
        except Exception:
            self.faults += 1
            if self.faults == 1:
                _logger.exception("processor %s failed; its spans pass it unchanged (said once)", self.id)
            return spans


@dataclass(slots=True)
class BuiltExporter:
    """An exporter of a pipeline.

    ``records`` marks those that also take spans the app's sampler dropped (a store wants every record; a tracing backend does
    not). ``faults`` counts exports that raised.
    """

    id: ComponentID
    exporter: SpanExporter
    records: bool = False
    faults: int = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export those of ``spans`` that this exporter takes. Never raises; never makes spans of its own requests."""
        if not self.records:
            spans = [span for span in spans if not _is_recorded_only(span)]
        if not spans:
            return SpanExportResult.SUCCESS
        try:
            with suppress_instrumentation():
                return self.exporter.export(spans)
        except Exception:
            self.faults += 1
            if self.faults == 1:
                _logger.exception("exporter %s failed; its batch of %d spans is lost (said once)", self.id, len(spans))
            return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush it. Never raises; False where it raised or ran out of time."""
        try:
            return self.exporter.force_flush(timeout_millis)
        except Exception:
            _logger.exception("exporter %s failed to flush", self.id)
            return False

    def shutdown(self) -> None:
        """Shut it down. Never raises."""
        try:
            self.exporter.shutdown()
        except Exception:
            _logger.exception("exporter %s failed to shut down", self.id)


def _is_recorded_only(span: ReadableSpan) -> bool:
    return isinstance(span, TrackedSpan) and span.is_recorded_only


@dataclass(slots=True)
class Pipeline:
    """One ``traces`` pipeline.

    ``enrichers`` (usage, cost, …) make what the app's own exporters get too, so a host runs them once per span, early;
    ``processors`` (filters, redaction, …) act on this pipeline's exporters alone. In each of the two the order of the file
    holds.
    """

    id: ComponentID
    enrichers: list[Processor] = field(default_factory=list)
    processors: list[Processor] = field(default_factory=list)
    exporters: list[BuiltExporter] = field(default_factory=list)

    def enrich(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """Run the enrichers."""
        return _run(self.enrichers, spans)

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """Run enrichers and processors: what the exporters get."""
        return _run(self.processors, _run(self.enrichers, spans))

    def export(self, spans: Sequence[ReadableSpan]) -> dict[ComponentID, SpanExportResult]:
        """Give processed spans to each exporter; one that fails does not stop the others."""
        return {built.id: built.export(spans) for built in self.exporters}


def _run(processors: Iterable[Processor], spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
    for processor in processors:
        if not spans:
            break
        spans = processor.process(spans)
    return spans


def build(document: Document) -> list[Pipeline]:
    """Build the ``traces`` pipelines of a document: exporters first, as nothing may reach one that is not there.

    Receivers and extensions are not started: in an application the tracer provider is the source. Pipelines of other signals
    are left out with one info line.

    Raises:
        ConfigError: A component cannot be made; those already made are shut down.
    """
    traces = [spec for spec in document.pipelines if spec.id.type == "traces"]
    ignored = [str(spec.id) for spec in document.pipelines if spec.id.type != "traces"]
    if ignored:
        _logger.info("pipelines %s are left out: inside an application Spectra processes traces", ", ".join(ignored))
    shared: dict[ComponentID, BuiltExporter] = {}
    try:
        for id_ in dict.fromkeys(id_ for spec in traces for id_ in spec.exporters):
            shared[id_] = _build_exporter(document.exporters[id_])
        return [_build_pipeline(document, spec, shared) for spec in traces]
    except Exception:
        for built in shared.values():
            built.shutdown()
        raise


def force_flush(pipelines: Iterable[Pipeline], timeout_millis: int = 30_000) -> bool:
    """Flush every exporter within ``timeout_millis`` in all; False where one did not make it."""
    deadline = time.monotonic() + timeout_millis / 1000
    flushed = True
    for built in _exporters(pipelines):
        left = max(0, int((deadline - time.monotonic()) * 1000))
        flushed = built.force_flush(left) and flushed
    return flushed


def shutdown(pipelines: Iterable[Pipeline]) -> None:
    """Shut every exporter down, each once however many pipelines share it."""
    for built in _exporters(pipelines):
        built.shutdown()


def _exporters(pipelines: Iterable[Pipeline]) -> list[BuiltExporter]:
    return list({id(built): built for pipeline in pipelines for built in pipeline.exporters}.values())


def _build_exporter(item: Component) -> BuiltExporter:
    return BuiltExporter(item.id, _create(Kind.EXPORTER, item), records=item.factory.records)


def _build_pipeline(document: Document, spec: PipelineSpec, shared: dict[ComponentID, BuiltExporter]) -> Pipeline:
    pipeline = Pipeline(spec.id, exporters=[shared[id_] for id_ in dict.fromkeys(spec.exporters)])
    for id_ in spec.processors:
        item = document.processors[id_]
        guarded = GuardedProcessor(id_, _create(Kind.PROCESSOR, item))
        (pipeline.enrichers if item.factory.enriches else pipeline.processors).append(guarded)
    return pipeline


def _create(kind: Kind, item: Component) -> Any:
    """Make a component; whatever goes wrong becomes one line that names it."""
    try:
        return item.factory.create(item.id, item.config)
    except ConfigError as error:
        raise ConfigError(f"{kind}::{item.id}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{kind}::{item.id}: {type(error).__name__}: {error}") from error
