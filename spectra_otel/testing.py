"""Help for the tests of applications: requests to try a span builder on, and a fake that remembers what was tracked.

::

    def test_my_builder():
        span = MySpanBuilder().build(make_request(provider="openai", model="gpt-4o", total_cost_in_cents="0.25"))
        assert span.name == "myapp.ai.openai.gpt-4o"

    def test_the_invoice_summary_is_tracked():
        with fake() as tracked:
            summarise(invoice)
        tracked.assert_tracked_with_metadata({"tenant_id": "tenant_123"})

Under pytest, ``pytest_plugins = ["spectra_otel.pytest_plugin"]`` gives the fake as the fixture ``spectra``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from spectra_otel.component import ComponentID, Factory, Kind, Stability
from spectra_otel.config.document import Component, Document, PipelineSpec, component
from spectra_otel.config.load import DEFAULT_PROCESSORS
from spectra_otel.model.attributes import cost_attributes, record_attributes
from spectra_otel.model.fields import FIELDS, MONEY_FIELDS
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan, record_of

__all__ = ["Fake", "fake", "make_request"]


def make_request(**fields: Any) -> TrackedRequest:
    """A tracked request with a finished span, as a span builder or listener gets it.

    Args:
        fields: Fields of the record; those left out are those of a small successful chat, and unknown where it has none.
            Money may be given as text or number.

    Raises:
        TypeError: A name is no field of the record.
    """
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise TypeError(f"make_request(): {', '.join(unknown)} is no field of a record; see spectra_otel.model.fields")
    values = _example() | fields
    for name in MONEY_FIELDS & values.keys():
        values[name] = None if values[name] is None else Decimal(str(values[name]))
    values["id"] = fields.get("id") or f"{values['trace_id']}-{values['span_id']}"
    record = TrackedRequest(values)
    TrackedSpan(_span(record), record, bears_cost=True)  # puts itself on the record
    return record


def _example() -> dict[str, Any]:
    ids = RandomIdGenerator()
    now = datetime.now(UTC)
    return {
        "trace_id": f"{ids.generate_trace_id():032x}",
        "span_id": f"{ids.generate_span_id():016x}",
        "provider": "openai",
        "model": "gpt-4o",
        "snapshot": "gpt-4o-2024-08-06",
        "model_type": "text",
        "operation": "chat",
        "endpoint": "/v1/chat/completions",
        "pricing_tier": "standard",
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "total_cost_in_cents": "0.75",
        "prompt_cost_in_cents": "0.25",
        "completion_cost_in_cents": "0.5",
        "currency": "USD",
        "cost_status": "priced",
        "cost_source": "catalog",
        "started_at": now - timedelta(milliseconds=800),
        "completed_at": now,
        "latency_ms": 800,
        "status_code": 200,
        "is_failed": False,
        "is_reasoning": False,
        "is_streaming": False,
        "has_tool_calls": False,
        "finish_reason": "stop",
    }


def _span(record: TrackedRequest) -> ReadableSpan:
    trace_id = int(record["trace_id"], 16)
    parent = record["parent_span_id"]
    return ReadableSpan(
        name=f"{record['operation']} {record['model']}",
        context=SpanContext(trace_id, int(record["span_id"], 16), is_remote=False, trace_flags=TraceFlags(1)),
        parent=SpanContext(trace_id, int(parent, 16), is_remote=False) if parent else None,
        resource=Resource({"service.name": record["service_name"] or "test"}),
        attributes={**record_attributes(record), **cost_attributes(record)},
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR, record["error_message"]) if record["is_failed"] else Status(StatusCode.UNSET),
        start_time=_nanoseconds(record["started_at"]),
        end_time=_nanoseconds(record["completed_at"]),
        instrumentation_scope=InstrumentationScope("spectra_otel.testing"),
    )


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


class Fake:
    """What was tracked, in memory: nothing is written and nothing is sent. Made by :func:`fake`."""

    def __init__(self) -> None:
        self._memory = _Memory()

    @property
    def requests(self) -> list[TrackedRequest]:
        """What was tracked so far, in the order of its end."""
        from spectra_otel.sdk import runtime

        runtime.force_flush()
        return list(self._memory.records.values())

    def assert_tracked(self, **fields: Any) -> TrackedRequest:
        """Fail unless a request has all these field values; gives the first that has."""
        return self._find(fields, lambda request: all(request[name] == value for name, value in fields.items()))

    def assert_tracked_with_metadata(self, metadata: Mapping[str, Any]) -> TrackedRequest:
        """Fail unless a request's metadata has at least these entries; gives the first that has."""
        return self._find(
            {"metadata": metadata}, lambda request: metadata.items() <= (request["metadata"] or {}).items()
        )

    def assert_tracked_with_tags(self, *tags: str) -> TrackedRequest:
        """Fail unless a request has at least these tags; gives the first that has."""
        return self._find({"tags": tags}, lambda request: set(tags) <= set(request["tags"] or ()))

    def assert_tracked_count(self, count: int) -> None:
        """Fail unless exactly ``count`` requests were tracked."""
        tracked = len(self.requests)
        assert tracked == count, f"{tracked} requests were tracked, not {count}"

    def assert_nothing_tracked(self) -> None:
        """Fail if a request was tracked."""
        self.assert_tracked_count(0)

    def _find(self, wanted: Mapping[str, Any], fits: Any) -> TrackedRequest:
        requests = self.requests
        for request in requests:
            if fits(request):
                return request
        seen = [{name: request[name] for name in wanted} for request in requests]
        raise AssertionError(f"no tracked request has {dict(wanted)}; tracked: {seen}")

    def __enter__(self) -> Fake:
        from spectra_otel.sdk import runtime

        runtime.shutdown()
        runtime.configure(self._document())
        if runtime.current_host() is None:
            raise RuntimeError("Spectra could not be started; the log says why")
        return self

    def __exit__(self, *error: object) -> None:
        from spectra_otel.sdk import runtime

        runtime.shutdown()

    def _document(self) -> Document:
        id_ = ComponentID("memory")
        factory: Factory[Any, Any] = Factory(
            "memory", Stability.STABLE, _NoSettings, lambda _id, _config: self._memory, records=True
        )
        processors = [component(Kind.PROCESSOR, ComponentID(name)) for name in DEFAULT_PROCESSORS]
        return Document(
            processors={item.id: item for item in processors},
            exporters={id_: Component(id_, factory, _NoSettings())},
            pipelines=(
                PipelineSpec(ComponentID("traces"), processors=tuple(item.id for item in processors), exporters=(id_,)),
            ),
        )


def fake() -> Fake:
    """A stand-in for the store, to be used with ``with``: Spectra runs as ever, and what it tracks stays in memory."""
    return Fake()


@dataclass(slots=True)
class _NoSettings:
    def validate(self) -> None:
        """There is nothing to check."""


class _Memory(SpanExporter):
    """Keeps the newest revision of each record."""

    def __init__(self) -> None:
        self.records: dict[str, TrackedRequest] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            record = record_of(span)
            if record is not None and (
                record["id"] not in self.records or record.rev >= self.records[record["id"]].rev
            ):
                self.records[record["id"]] = record
        return SpanExportResult.SUCCESS
