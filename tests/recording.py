"""A host for tests of what makes records: a real tracer provider, and the records that the instrumentors hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Tracer

from spectra_otel import faults, instrumentors
from spectra_otel.model.spans import TrackedSpan, handoff


class Recorder(SpanProcessor):
    """``spans`` are those the app's exporters would get, ``records`` what was handed over with them."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(self)
        self.resource = Resource.get_empty()
        self.spans: list[ReadableSpan] = []
        self.records: list[dict[str, Any]] = []
        self.unsampled: list[ReadableSpan] = []
        self.completed: list[dict[str, Any]] = []
        self._flushes: list[Callable[[], None]] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
        values = handoff.take(span.context)
        if values is not None:
            self.records.append({**values, "_span": span})

    def tracer(self) -> Tracer:
        return self.provider.get_tracer("spectra_otel")

    def record(self, span: ReadableSpan, values: Mapping[str, Any]) -> None:
        self.unsampled.append(span)
        self.records.append({**values, "_span": span})

    def complete(self, span: TrackedSpan) -> None:
        assert span.record is not None
        self.completed.append(span.record.known())

    def make_room(self) -> None:
        """There is no queue."""

    def before_flush(self, call: Callable[[], None]) -> None:
        self._flushes.append(call)

    def settle(self) -> None:
        """What a flush does for open streams."""
        for call in self._flushes:
            call()

    @property
    def only(self) -> dict[str, Any]:
        """The one record there is."""
        assert len(self.records) == 1, [r.get("model") for r in self.records]
        return self.records[0]

    def install(self) -> None:
        instrumentors.install(self)  # type: ignore[arg-type]


@contextmanager
def recording(recorder: Recorder | None = None) -> Iterator[Recorder]:
    """The instrumentors installed on ``recorder``; no fault of ours may have happened by the end."""
    before = faults.counts()
    recorder = recorder or Recorder()
    recorder.install()
    try:
        yield recorder
    finally:
        instrumentors.uninstall()
    assert faults.counts() == before
