"""Real OTLP servers on free ports: one HTTP, one gRPC. They keep what they get, and answer as told."""

from __future__ import annotations

import gzip
import ssl
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.serving import Handler, serving

_DECODERS = {"": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


@dataclass
class Received:
    """What a server got: headers (lower case) and spans by request; ``answers`` are given out first, then success."""

    endpoint: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [span for r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for span in ss.spans]


@contextmanager
def http_server(*answers: tuple[int, dict[str, str]], tls: ssl.SSLContext | None = None) -> Iterator[Received]:
    """An OTLP/HTTP server; ``answers`` are (status, headers) of the first requests."""
    received = Received(answers=list(answers))

    class Otlp(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.body()
            received.paths.append(self.path)
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers = received.answers.pop(0) if received.answers else (200, {})
            if status == 200:
                data = _DECODERS[self.headers.get("Content-Encoding", "")](body)
                received.requests.append(ExportTraceServiceRequest.FromString(data))
            self.reply(status, content_type="application/x-protobuf", **headers)

    with serving(Otlp, tls) as port:
        received.endpoint = f"{'https' if tls else 'http'}://localhost:{port}"
        yield received


@contextmanager
def grpc_server(*answers: grpc.StatusCode, credentials: grpc.ServerCredentials | None = None) -> Iterator[Received]:
    """An OTLP/gRPC server; ``answers`` are the status codes of the first requests."""
    received = Received(answers=list(answers))

    class Service(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
            received.headers.append({key: str(value) for key, value in context.invocation_metadata()})
            if received.answers:
                context.abort(received.answers.pop(0), "told so")
            received.requests.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_TraceServiceServicer_to_server(Service(), server)
    port = (
        server.add_secure_port("localhost:0", credentials)
        if credentials is not None
        else server.add_insecure_port("localhost:0")
    )
    received.endpoint = f"localhost:{port}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()
