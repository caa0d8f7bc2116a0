"""Pipelines built from documents: sharing, order, and faults that stay where they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel import faults
from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.document import Component, Document, PipelineSpec
from spectra_otel.config.load import load
from spectra_otel.errors import ConfigError
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.pipeline import BuiltExporter, build, shutdown
from spectra_otel.testing import make_request


@dataclass
class NoSettings:
    def validate(self) -> None: ...


class Rename:
    """A processor that appends its name to a span's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        return [ReadableSpan(f"{span.name}>{self.name}", context=span.context) for span in spans]


class Failing:
    """A processor that raises; as a redaction would, it may fail closed."""

    def __init__(self, fails_closed: bool) -> None:
        self.fails_closed = fails_closed

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        raise RuntimeError("broken")


class Memory(SpanExporter):
    """Keeps what it gets, and counts its ends."""

    def __init__(self, error: Exception | None = None) -> None:
        self.spans: list[ReadableSpan] = []
        self.error = error
        self.ends = 0
        self.was_instrumented = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.was_instrumented = is_instrumentation_enabled()
        if self.error is not None:
            raise self.error
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.ends += 1
        if self.error is not None:
            raise self.error


def item(id_: str, make: Any, **factory: Any) -> Component:
    """A component without settings, made by ``make()``."""
    parsed = ComponentID.parse(id_)
    return Component(
        parsed, Factory(parsed.type, Stability.STABLE, NoSettings, lambda _id, _config: make(), **factory), NoSettings()
    )


def document(
    processors: list[Component], exporters: list[Component], *pipelines: tuple[str, list[str], list[str]]
) -> Document:
    """A document of these components and (id, processors, exporters)."""
    ids = [
        PipelineSpec(ComponentID.parse(id_), (), tuple(map(ComponentID.parse, ps)), tuple(map(ComponentID.parse, es)))
        for id_, ps, es in pipelines
    ]
    return Document(
        processors={p.id: p for p in processors}, exporters={e.id: e for e in exporters}, pipelines=tuple(ids)
    )


def span(name: str = "s") -> ReadableSpan:
    return ReadableSpan(name, context=make_request().span.context)  # type: ignore[union-attr]


def test_enrichers_come_first_and_each_keeps_the_order_of_the_file() -> None:
    """They are what the app's own exporters get too."""
    processors = [
        item("filter", lambda: Rename("filter")),
        item("usage", lambda: Rename("usage"), enriches=True),
        item("cost", lambda: Rename("cost"), enriches=True),
        item("redact", lambda: Rename("redact")),
    ]
    (pipeline,) = build(
        document(processors, [item("m", Memory)], ("traces", ["filter", "usage", "cost", "redact"], ["m"]))
    )
    assert [s.name for s in pipeline.process([span()])] == ["s>usage>cost>filter>redact"]
    assert len(pipeline.enrichers) == len(pipeline.processors) == 2


def test_processors_are_per_pipeline_and_exporters_are_shared() -> None:
    """As in the collector; a shared exporter is shut down once."""
    memory = Memory()
    first, second = build(
        document(
            [item("p", lambda: Rename("p"))],
            [item("m", lambda: memory)],
            ("traces", ["p"], ["m", "m"]),
            ("traces/b", ["p"], ["m"]),
        )
    )
    assert first.processors[0].processor is not second.processors[0].processor  # type: ignore[attr-defined]
    assert first.exporters[0] is second.exporters[0]
    assert len(first.exporters) == 1
    shutdown([first, second])
    assert memory.ends == 1


def test_a_processor_that_raises_lets_its_spans_pass() -> None:
    """One that redacts fails closed: nothing leaves."""
    before = sum(faults.counts().values())
    processors = [item("open", lambda: Failing(False)), item("closed", lambda: Failing(True))]
    first, second = build(
        document(processors, [item("m", Memory)], ("traces", ["open"], ["m"]), ("traces/b", ["closed"], ["m"]))
    )
    spans = [span()]
    assert first.process(spans) == spans
    assert second.process(spans) == ()
    assert sum(faults.counts().values()) == before + 2


def test_an_exporter_that_raises_does_not_stop_the_others() -> None:
    """Neither when it exports nor when it ends."""
    memory = Memory()
    exporters = [item("bad", lambda: Memory(RuntimeError("dead"))), item("good", lambda: memory)]
    (pipeline,) = build(document([], exporters, ("traces", [], ["bad", "good"])))
    results = pipeline.export([span()])
    assert results == {ComponentID("bad"): SpanExportResult.FAILURE, ComponentID("good"): SpanExportResult.SUCCESS}
    assert len(memory.spans) == 1
    shutdown([pipeline])
    assert memory.ends == 1


def test_spans_the_sampler_dropped_go_to_record_keepers_alone() -> None:
    """A tracing backend gets what was sampled, the store every record."""
    request = make_request()
    assert isinstance(request.span, TrackedSpan)
    request.span.is_recorded_only = True
    store, backend = Memory(), Memory()
    (pipeline,) = build(
        document(
            [],
            [item("store", lambda: store, records=True), item("backend", lambda: backend)],
            ("traces", [], ["store", "backend"]),
        )
    )
    pipeline.export([request.span, span()])
    assert (len(store.spans), len(backend.spans)) == (2, 1)


def test_no_instrumentation_traces_what_an_exporter_sends() -> None:
    """Else exports would beget spans, which beget exports."""
    memory = Memory()
    BuiltExporter(ComponentID("m"), memory).export([span()])
    assert memory.was_instrumented is False
    assert is_instrumentation_enabled(), context.get_current()


def test_pipelines_of_other_signals_are_left_out_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """An application's metrics and logs are not ours."""
    with caplog.at_level(logging.INFO, logger="spectra_otel"):
        built = build(document([], [item("m", Memory)], ("metrics", [], ["m"]), ("logs", [], ["m"])))
    assert built == []
    assert [m for m in caplog.messages if "left out" in m] == [
        "pipelines metrics, logs are left out: inside an application Spectra processes traces"
    ]


def test_a_component_that_cannot_be_made_is_one_line_and_leaves_nothing_open() -> None:
    """It names the component; exporters made before it are shut down."""
    memory = Memory()

    def broken() -> SpanExporter:
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match=r"\Aexporters::bad/x: OSError: \[Errno 28\] No space left on device\Z"):
        build(document([], [item("m", lambda: memory), item("bad/x", broken)], ("traces", [], ["m", "bad/x"])))
    assert memory.ends == 1


def test_a_configuration_file_runs_from_span_to_printed_cost(capsys: pytest.CaptureFixture[str]) -> None:
    """usage and cost, then debug, with a span as an instrumentation of OpenTelemetry writes it."""
    tree = {
        "receivers": {"otlp": {"protocols": {"http": None}}},
        "processors": {"usage": None, "cost": None},
        "exporters": {"debug": {"verbosity": "normal"}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["usage", "cost"], "exporters": ["debug"]}}
        },
    }
    (pipeline,) = build(load(tree))
    request = make_request()
    assert request.span is not None
    genai = ReadableSpan(
        "chat gpt-4o",
        context=request.span.context,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 500,
        },
        start_time=1_790_000_000_000_000_000,
        end_time=1_790_000_001_000_000_000,
    )
    pipeline.export(pipeline.process([genai]))
    assert "gen_ai.usage.cost.amount=0.0075" in capsys.readouterr().err
