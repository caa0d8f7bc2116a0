"""The three signals of OTLP: their messages, paths and methods, and how many items a request holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_POINTS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    ``name`` is that of pipelines and paths (``/v1/<name>``), ``method`` the full gRPC method, ``item`` what the collector's own
    metrics call one (``spans``), ``count`` how many a decoded request holds.
    """

    name: str
    item: str
    request: type[Message]
    method: str
    count: Callable[[Any], int]

    @property
    def path(self) -> str:
        """The path of OTLP/HTTP."""
        return f"/v1/{self.name}"


def _spans(request: ExportTraceServiceRequest) -> int:
    return sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans)


def _logs(request: ExportLogsServiceRequest) -> int:
    return sum(len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs)


def _points(request: ExportMetricsServiceRequest) -> int:
    metrics = (m for group in request.resource_metrics for scope in group.scope_metrics for m in scope.metrics)
    kinds = ((metric, metric.WhichOneof("data")) for metric in metrics)
    return sum(len(getattr(metric, kind).data_points) for metric, kind in kinds if kind in _POINTS)


def _method(package: str, service: str) -> str:
    return f"/opentelemetry.proto.collector.{package}.v1.{service}/Export"


TRACES = Signal("traces", "spans", ExportTraceServiceRequest, _method("trace", "TraceService"), _spans)
METRICS = Signal("metrics", "metric_points", ExportMetricsServiceRequest, _method("metrics", "MetricsService"), _points)
LOGS = Signal("logs", "log_records", ExportLogsServiceRequest, _method("logs", "LogsService"), _logs)

SIGNALS = {signal.name: signal for signal in (TRACES, METRICS, LOGS)}
"""By name, in the order pipelines are listed."""
