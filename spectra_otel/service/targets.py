"""Where a pipeline's payloads go: exporters that are given spans, and exporters that forward requests as they came.

A target says for each payload whether it is durable there. One that fails does not keep the others from theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from spectra_otel import faults
from spectra_otel.component import Processor
from spectra_otel.errors import SpectraError
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.otlp.protobuf import Change, PassedSpan, TraceRequest, in_place, split
from spectra_otel.otlp.signals import TRACES
from spectra_otel.otlp.transport import SendError
from spectra_otel.pipeline import BuiltExporter, shape
from spectra_otel.service.delivery import ACCEPTED, BROKEN, Outcome, Payload
from spectra_otel.service.sending.sender import Sender
from spectra_otel.service.telemetry import Telemetry


@dataclass(slots=True)
class Processed:
    """A payload after the processors. ``request`` and ``spans`` are there for traces.

    ``early`` are the spans from before redaction, for exporters with a span builder; None where nothing redacts.
    """

    payload: Payload
    request: TraceRequest | None = None
    spans: Sequence[ReadableSpan] = ()
    early: Sequence[ReadableSpan] | None = None
    verdict: Outcome = ACCEPTED
    """What its sender hears where every target takes it."""
    parts: Iterable[Sequence[ReadableSpan]] = ()
    """In the place of ``spans`` where they flow: processed as they are asked for, once."""


class Target(Protocol):
    """An exporter as a pipeline of the collector sees it."""

    name: str

    def deliver(self, batch: Sequence[Processed]) -> list[Outcome]:
        """One outcome for each payload, in order. Raises nothing."""
        ...


class SpanTarget:
    """An exporter of the SDK's kind: it gets the spans of a whole batch at once, so that a store syncs once."""

    def __init__(self, built: BuiltExporter, telemetry: Telemetry) -> None:
        self.name = str(built.id)
        self.built = built
        self._telemetry = telemetry

    @property
    def takes_parts(self) -> bool:
        """Whether its spans may flow."""
        return self.built.takes_parts and not self.built.redacts

    def deliver(self, batch: Sequence[Processed]) -> list[Outcome]:
        spans = [span for item in batch for span in self._spans(item) if type(span) is not PassedSpan]
        if not spans:
            return [ACCEPTED] * len(batch)
        return [_counted(self._telemetry, self.name, len(spans), self.built.export(spans))] * len(batch)

    def _spans(self, item: Processed) -> Sequence[ReadableSpan]:
        return item.early if self.built.redacts and item.early is not None else item.spans


class FlowTarget:
    """An exporter that is given spans part by part, as they are decoded and processed, where a pipeline has no other.

    A span is gone before the next part is made: the few there are at a time stay in the processor's cache.
    """

    def __init__(self, built: BuiltExporter, telemetry: Telemetry) -> None:
        self.name = str(built.id)
        self._built = built
        self._telemetry = telemetry

    def deliver(self, batch: Sequence[Processed]) -> list[Outcome]:
        flow = _Flow(batch, self.name)
        result = self._built.export_parts(flow)
        outcome = _counted(self._telemetry, self.name, flow.spans, result)
        return [BROKEN if outcome is ACCEPTED and index in flow.broken else outcome for index in range(len(batch))]


class _Flow(Iterable[Sequence[ReadableSpan]]):
    """The spans of a batch that somebody may read, part by part; those of a request that cannot be processed end early."""

    def __init__(self, batch: Sequence[Processed], name: str) -> None:
        self._batch = batch
        self._name = name
        self.spans = 0
        self.broken: set[int] = set()

    def __iter__(self) -> Iterator[Sequence[ReadableSpan]]:
        for index, item in enumerate(self._batch):
            try:
                for part in item.parts:
                    claimed = [span for span in part if type(span) is not PassedSpan]
                    del part
                    self.spans += len(claimed)
                    yield claimed
                    release(claimed)
                    claimed.clear()  # whoever holds the list holds no spans
            except Exception as error:
                faults.report(f"pipeline, a request for {self._name} is not taken", error)
                self.broken.add(index)
            item.parts = ()  # it knows the item, and is not to wait with it for the collector of garbage


def _counted(telemetry: Telemetry, name: str, spans: int, result: SpanExportResult) -> Outcome:
    """What an export of so many spans comes to for those who sent them, once it is counted."""
    is_done = result is SpanExportResult.SUCCESS
    if spans:
        telemetry.exported(name, TRACES, spans, "sent" if is_done else "send_failed")
    return ACCEPTED if is_done else Outcome(f"exporter {name} cannot take it now")


class RequestTarget:
    """An exporter that looks at requests of metrics or logs."""

    def __init__(self, name: str, take: Callable[[str, Any], None], telemetry: Telemetry) -> None:
        self.name = name
        self._take = take
        self._telemetry = telemetry

    def deliver(self, batch: Sequence[Processed]) -> list[Outcome]:
        return [self._deliver(item.payload) for item in batch]

    def _deliver(self, payload: Payload) -> Outcome:
        try:
            self._take(payload.signal.name, payload.message)
        except Exception as error:
            faults.report(f"exporter {self.name}", error)
            self._telemetry.exported(self.name, payload.signal, payload.items, "send_failed")
            return Outcome(f"exporter {self.name}: {type(error).__name__}", is_transient=False)
        self._telemetry.exported(self.name, payload.signal, payload.items, "sent")
        return ACCEPTED


class ForwardTarget:
    """An exporter that forwards requests: as they came, with what processors added.

    ``change`` is what the exporter's own settings make of a span, before the processors ``late``, which redact, see it;
    ``resource_attributes`` are added to every resource. With ``merges`` the payloads of a batch go out as one request, of at
    most ``largest`` items where that is above 0.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        change: Change | None = None,
        late: Sequence[Processor] = (),
        resource_attributes: Mapping[str, str] | None = None,
        merges: bool = False,
        largest: int = 0,
    ) -> None:
        self.name = sender.name
        self._sender = sender
        self._change = change
        self._late = late
        self._resource_attributes = resource_attributes
        self._merges = merges
        self._largest = largest

    def deliver(self, batch: Sequence[Processed]) -> list[Outcome]:
        if not self._merges or len(batch) < 2:
            return [self._offer([item]) for item in batch]
        return [self._offer(batch)] * len(batch)

    def _offer(self, batch: Sequence[Processed]) -> Outcome:
        """Requests of a signal, written one after the other, are one request: protobuf merges by concatenation."""
        signal = batch[0].payload.signal
        try:
            body = b"".join(map(self._render, batch))
            items = sum(map(_items, batch))
            if not body:
                return ACCEPTED
            parts = split(body, self._largest) if 0 < self._largest < items and signal is TRACES else [(body, items)]
            for part, count in parts:
                self._sender.offer(signal, part, count)
        except SendError as error:
            return Outcome(str(error), error.is_transient, max(1, round(error.retry_after)))
        except (SpectraError, OSError) as error:
            return Outcome(f"exporter {self.name}: {error}")
        except Exception as error:
            faults.report(f"exporter {self.name}", error)
            return Outcome(f"exporter {self.name}: {type(error).__name__}", is_transient=False)
        return ACCEPTED

    def _render(self, item: Processed) -> bytes:
        if item.request is None:
            return item.payload.body
        if self._change is None or item.early is None:
            return item.request.render(item.spans, self._change, self._resource_attributes)
        spans = shape(item.early, in_place(self._change), self._late)
        return item.request.render(spans, None, self._resource_attributes)


def _items(item: Processed) -> int:
    return item.payload.items if item.request is None else len(item.spans)


def release(spans: Iterable[ReadableSpan]) -> None:
    """Part spans and records, which hold each other: apart, both are freed at once, without the collector of garbage."""
    for span in spans:
        if isinstance(span, TrackedSpan) and span.record is not None:
            span.record.span = None
