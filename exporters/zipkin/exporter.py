"""Spans in Zipkin's JSON, by the official exporter's encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import local
from typing import Any, cast

import orjson
import requests
from opentelemetry.exporter.zipkin.json.v2 import JsonV2Encoder
from opentelemetry.exporter.zipkin.node_endpoint import NodeEndpoint
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.exporters.zipkin.config import ZipkinConfig
from spectra_otel.otlp.protobuf import Claims, TraceRequest
from spectra_otel.otlp.signals import Signal
from spectra_otel.otlp.transport import SendError, reason_of

_RETRYABLE = frozenset((429, 502, 503, 504))


class ZipkinTransport:
    """Posts spans; a session per thread, because those of requests are not for sharing."""

    def __init__(self, config: ZipkinConfig) -> None:
        self._config = config
        self._encoder = JsonV2Encoder()
        self._headers = {
            "Content-Type": "application/json",
            **{name: value.reveal() for name, value in config.headers.items()},
        }
        self._claims = Claims()
        self._threads = local()

    def send(self, signal: Signal, body: bytes) -> None:
        """Post the spans of an OTLP request. Raises :class:`SendError`."""
        self.post(TraceRequest(body).spans(self._claims, every=True))

    def post(self, spans: Sequence[ReadableSpan]) -> None:
        """Post spans, those of each service together: the encoder writes one service name. Raises :class:`SendError`."""
        for name, members in _by_service(spans, self._config.default_service_name):
            node = NodeEndpoint(None, None, None)
            node.service_name = name
            self._post(_without_nulls(self._encoder.serialize(cast("Any", members), node)))

    def close(self) -> None:
        """Sessions end with their threads."""

    def _post(self, data: bytes) -> None:
        url = self._config.endpoint
        session = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
            session.trust_env = False
        try:
            answer = session.post(url, data=data, headers=self._headers, timeout=float(self._config.timeout))
        except requests.RequestException as error:
            raise SendError(f"{url}: {reason_of(error)}", is_transient=True) from None
        if answer.status_code // 100 != 2:
            raise SendError(
                f"{url}: HTTP status {answer.status_code}: {answer.text[:200]!r}",
                is_transient=answer.status_code in _RETRYABLE,
            )


class ZipkinExporter(SpanExporter):
    """The exporter inside an application; the collector uses the transport alone, behind its queue."""

    def __init__(self, config: ZipkinConfig) -> None:
        self._transport = ZipkinTransport(config)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Post ``spans``; :class:`SendError` reaches the pipeline, which reports it."""
        self._transport.post(spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered."""
        return True


def _without_nulls(text: str) -> bytes:
    """The encoder writes the version of a scope that has none as null, for which Zipkin refuses the whole request."""
    spans = orjson.loads(text)
    for span in spans:
        span["tags"] = {name: value for name, value in (span.get("tags") or {}).items() if value is not None}
    return orjson.dumps(spans)


def _by_service(spans: Iterable[ReadableSpan], default: str) -> Iterable[tuple[str, list[ReadableSpan]]]:
    groups: dict[str, list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault(str(span.resource.attributes.get(SERVICE_NAME) or default), []).append(span)
    return groups.items()
