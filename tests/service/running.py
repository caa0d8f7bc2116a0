"""A real collector in this process, on free ports, and clients that speak OTLP to it."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spectra_otel.config.document import read_document
from spectra_otel.config.load import load
from spectra_otel.config.resolve import expand
from spectra_otel.otlp.protobuf import write_value
from spectra_otel.otlp.signals import TRACES
from spectra_otel.service.collector import Collector

FREE = "127.0.0.1:0"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
CHAT = {
    "gen_ai.provider.name": "openai",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
"""A call that costs $0.0035."""


def request(
    *spans: Mapping[str, Any], start: int = 1_790_000_000_000_000_000, seed: int = 1
) -> ExportTraceServiceRequest:
    """A trace request with a span for each mapping of attributes."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    write_value(group.resource.attributes.add(key="service.name").value, "shop")
    scoped = group.scope_spans.add()
    scoped.scope.name = "test"
    for number, attributes in enumerate(spans, 1):
        span = scoped.spans.add(
            trace_id=seed.to_bytes(15, "big") + bytes([number % 255 + 1]),
            span_id=seed.to_bytes(4, "big") + number.to_bytes(4, "big"),
            name="chat gpt-4o",
            kind=3,
            flags=0x101,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 10**9,
            dropped_events_count=2,
        )
        for key, value in attributes.items():
            write_value(span.attributes.add(key=key).value, value)
    return message


def spans_of(message: ExportTraceServiceRequest) -> list[Any]:
    """The spans of a request."""
    return [span for group in message.resource_spans for scope in group.scope_spans for span in scope.spans]


def attributes_of(span: Any) -> dict[str, Any]:
    """Attributes of a protobuf span."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


@dataclass
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A collector that runs: post to it, call it, look at its metrics."""

    collector: Collector

    def port(self, protocol: str, receiver: str = "otlp") -> int:
        """The port of a receiver."""
        ports = {str(id_): found for id_, found in self.collector._receivers.items()}
        return int(getattr(ports[receiver], "ports")[protocol])  # noqa: B009

    def post(
        self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/v1/traces", method: str = "POST"
    ) -> Answer:
        """POST a body."""
        url = f"http://127.0.0.1:{self.port('http')}{path}"
        prepared = urllib.request.Request(url, data=body, headers={**PROTOBUF, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(prepared, timeout=60) as answer:
                return Answer(answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()})
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), {k.lower(): v for k, v in error.headers.items()})

    def call(self, body: bytes, metadata: tuple[tuple[str, str], ...] = (), method: str = TRACES.method) -> Any:
        """Call Export over gRPC with raw bytes."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port('grpc')}") as channel:
            export: Any = channel.unary_unary(method)
            return export(body, timeout=60, metadata=metadata)

    def metric(self, name: str, **labels: str) -> float:
        """A number of the collector's own metrics."""
        return self.collector.telemetry.metrics.value(name, **labels)


def tree(exporters: Mapping[str, Any], processors: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A configuration with one traces pipeline through everything that is given."""
    processors = processors or {}
    protocols = more.pop("protocols", {"http": {"endpoint": FREE}})
    service = more.pop("service", {})
    names = {"receivers": ["otlp"], "processors": list(processors), "exporters": list(exporters)}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "processors": dict(processors),
        "exporters": dict(exporters),
        **more,
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": names},
            **service,
        },
    }


@contextmanager
def running(config: Mapping[str, Any]) -> Iterator[Running]:
    """Run a collector until the end of the block; it is drained then, as on SIGTERM."""
    document, problems = read_document(expand(config))
    assert problems == []
    collector = Collector(load(document))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(collector.start(), loop).result(60)
        try:
            yield Running(collector)
        finally:
            asyncio.run_coroutine_threadsafe(collector.stop(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
