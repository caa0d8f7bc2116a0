"""Pipelines: processors in a row, then exporters side by side, built from a document through the registry.

As in the collector, every pipeline has its own instance of a processor, and all pipelines share one instance of an exporter.
What a processor or exporter raises stops here: it is reported, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel import faults
from spectra_otel.component import ComponentID, Kind, Processor
from spectra_otel.config.document import Component, Document, PipelineSpec
from spectra_otel.errors import ConfigError
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.model.store import LearnsPrices

_logger = logging.getLogger(__name__)
_Spans = TypeVar("_Spans")


@dataclass(frozen=True, slots=True)
class GuardedProcessor:
    """A processor of a pipeline that never raises.

    Where the processor does, its spans go on as they came; none go on where it has a true attribute ``fails_closed`` (redaction).
    """

    id: ComponentID
    processor: Processor

    @property
    def redacts(self) -> bool:
        """Whether nothing must leave without it."""
        return bool(getattr(self.processor, "fails_closed", False))

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        try:
            return self.processor.process(spans)
        except Exception as error:
            faults.report(f"processor {self.id}", error)
            return () if self.redacts else spans


@contextmanager
def _uninstrumented() -> Iterator[None]:
    """What is sent inside makes no spans.

    As ``opentelemetry.instrumentation.utils.suppress_instrumentation``, whose import takes as long as the rest of ours.
    """
    context = set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, set_value("suppress_instrumentation", True))
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


@runtime_checkable
class TakesParts(Protocol):
    """An exporter that can be given the spans of a batch one part after the other, keeps none, and reads their records alone."""

    def export_parts(self, parts: Iterable[Sequence[ReadableSpan]]) -> SpanExportResult: ...


@dataclass(slots=True)
class BuiltExporter:
    """An exporter of a pipeline, behind methods that never raise.

    ``records`` marks those that also take spans the app's sampler dropped: a store wants every record, a tracing backend does
    not.
    """

    id: ComponentID
    exporter: SpanExporter
    records: bool = False
    redacts: bool = False
    """It runs the redaction of its pipeline itself, after its span builder, and gets the spans from before it."""
    _is_shut_down: bool = False

    def takes(self, span: ReadableSpan) -> bool:
        """Whether ``span`` is for this exporter."""
        return self.records or not (isinstance(span, TrackedSpan) and span.is_recorded_only)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export those of ``spans`` that this exporter takes; no instrumentation makes spans of what it sends."""
        if not self.records:
            spans = [span for span in spans if self.takes(span)]
        return self._guarded(self.exporter.export, spans) if spans else SpanExportResult.SUCCESS

    @property
    def takes_parts(self) -> bool:
        """Whether there is :meth:`export_parts`."""
        return self.records and isinstance(self.exporter, TakesParts)

    def export_parts(self, parts: Iterable[Sequence[ReadableSpan]]) -> SpanExportResult:
        """Export spans that come part by part."""
        assert isinstance(self.exporter, TakesParts)
        return self._guarded(self.exporter.export_parts, parts)

    def _guarded(self, export: Callable[[_Spans], SpanExportResult], spans: _Spans) -> SpanExportResult:
        try:
            with _uninstrumented():
                return export(spans)
        except Exception as error:
            faults.report(f"exporter {self.id}", error)
            return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush it; False where it raised or ran out of time."""
        try:
            return self.exporter.force_flush(timeout_millis)
        except Exception as error:
            faults.report(f"exporter {self.id}", error)
            return False

    def shutdown(self) -> None:
        """Shut it down, once: pipelines that share it may each ask."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        try:
            self.exporter.shutdown()
        except Exception as error:
            faults.report(f"exporter {self.id}", error)


@runtime_checkable
class Shaping(Protocol):
    """An exporter that makes other spans of those it gets, by :meth:`change`, for the one ``behind`` it."""

    @property
    def behind(self) -> SpanExporter: ...

    def change(self, span: ReadableSpan) -> ReadableSpan | None: ...


class _Redacted(SpanExporter):
    """Shapes spans, redacts what came of that, and exports it."""

    def __init__(self, shared: BuiltExporter, shaping: Shaping, late: Sequence[Processor]) -> None:
        self._shared = shared
        self._shaping = shaping
        self._late = late

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        spans = shape(spans, self._shaping.change, self._late)
        return self._shaping.behind.export(spans) if spans else SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._shared.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self._shared.shutdown()


def shape(
    spans: Iterable[ReadableSpan], change: Callable[[ReadableSpan], ReadableSpan | None], late: Iterable[Processor]
) -> Sequence[ReadableSpan]:
    """What a span builder and then a pipeline's redaction make of ``spans``."""
    shaped: Sequence[ReadableSpan] = [made for span in spans if (made := change(span)) is not None]
    for processor in late:
        shaped = processor.process(shaped) if shaped else shaped
    return shaped


def redact_after_builder(built: BuiltExporter, late: Sequence[Processor]) -> BuiltExporter:
    """``built`` for a pipeline with the processors ``late``, which redact: also what its span builder adds."""
    if not (late and isinstance(built.exporter, Shaping)):
        return built
    return BuiltExporter(built.id, _Redacted(built, built.exporter, late), records=built.records, redacts=True)


@dataclass(slots=True)
class Pipeline:
    """One ``traces`` pipeline.

    ``enrichers`` (usage, cost, …) make what the app's own exporters get too, so a host runs them once per span, early;
    ``processors`` (filters, …) and ``late`` (redaction and those after it) act on this pipeline's exporters alone. In each
    of the three the order of the file holds.
    """

    id: ComponentID
    enrichers: list[Processor] = field(default_factory=list)
    processors: list[Processor] = field(default_factory=list)
    late: list[Processor] = field(default_factory=list)
    exporters: list[BuiltExporter] = field(default_factory=list)

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """Run enrichers and processors: what exporters without a span builder get."""
        for processor in (*self.enrichers, *self.processors, *self.late):
            spans = processor.process(spans) if spans else spans
        return spans

    def export(self, spans: Sequence[ReadableSpan]) -> dict[ComponentID, SpanExportResult]:
        """Give processed spans to each exporter; one that fails does not stop the others."""
        return {built.id: built.export(spans) for built in self.exporters}


def shutdown(pipelines: Iterable[Pipeline]) -> None:
    """Shut every exporter down."""
    for pipeline in pipelines:
        for built in pipeline.exporters:
            built.shutdown()


def build(document: Document) -> list[Pipeline]:
    """Build the ``traces`` pipelines of a document.

    Receivers and extensions are not started: in an application the tracer provider is the source. Pipelines of other signals
    are left out with one info line.

    Raises:
        ConfigError: A component cannot be made; the exporters already made are shut down.
    """
    traces = [spec for spec in document.pipelines if spec.id.type == "traces"]
    ignored = [str(spec.id) for spec in document.pipelines if spec.id.type != "traces"]
    if ignored:
        _logger.info("pipelines %s are left out: inside an application Spectra processes traces", ", ".join(ignored))
    shared: dict[ComponentID, BuiltExporter] = {}
    try:
        for id_ in dict.fromkeys(id_ for spec in traces for id_ in spec.exporters):
            item = document.exporters[id_]
            shared[id_] = build_exporter(document, item)
        pipelines = [_build_pipeline(document, spec, shared) for spec in traces]
    except ConfigError:
        for built in shared.values():
            built.shutdown()
        raise
    use_prices(document)
    return pipelines


def use_prices(document: Document) -> None:
    """Have what is reckoned before a call, and by budgets, be at the prices that the records of the document have."""
    from spectra_otel.repricing import TodaysPrices

    TodaysPrices(document).use()


def _build_pipeline(document: Document, spec: PipelineSpec, shared: dict[ComponentID, BuiltExporter]) -> Pipeline:
    pipeline = Pipeline(spec.id)
    for id_ in spec.processors:
        item = document.processors[id_]
        guarded = GuardedProcessor(id_, create(Kind.PROCESSOR, item))
        if item.factory.enriches:
            pipeline.enrichers.append(guarded)
        elif guarded.redacts or pipeline.late:
            pipeline.late.append(guarded)
        else:
            pipeline.processors.append(guarded)
    pipeline.exporters = [redact_after_builder(shared[id_], pipeline.late) for id_ in dict.fromkeys(spec.exporters)]
    return pipeline


def build_exporter(document: Document, item: Component) -> BuiltExporter:
    """Make an exporter. One that keeps records gets the prices of the document, for records that have no cost yet."""
    if getattr(item.config, "auth", None) is not None:
        raise ConfigError(f"exporters::{item.id}: auth: got an authenticator, valid: headers (inside an application)")
    exporter: SpanExporter = create(Kind.EXPORTER, item)
    if isinstance(exporter, LearnsPrices):
        from spectra_otel.repricing import TodaysPrices

        exporter.learn_from(TodaysPrices(document))
    return BuiltExporter(item.id, exporter, records=item.factory.records)


def create(kind: Kind, item: Component) -> Any:
    """Make a component. Whatever goes wrong becomes one line that names it, a :class:`ConfigError`."""
    try:
        return item.factory.create(item.id, item.config)
    except ConfigError as error:
        raise ConfigError(f"{kind}::{item.id}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{kind}::{item.id}: {type(error).__name__}: {error}") from error
