"""A backend that takes a part of a request says what it left out, and that is logged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from spectra_otel.config.decode import decode
from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.exporters.otlp_grpc.transport import GrpcTransport, _retry_after
from spectra_otel.exporters.otlp_http.config import OtlpHttpConfig
from spectra_otel.exporters.otlp_http.transport import HttpTransport
from spectra_otel.otlp.signals import LOGS, TRACES, Signal
from spectra_otel.otlp.transport import JSON, PROTOBUF
from tests.serving import Handler, serving

SPANS = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
).SerializeToString()
RECORDS = ExportLogsServiceResponse(
    partial_success=ExportLogsPartialSuccess(rejected_log_records=3, error_message="too old")
)
SAID = "Partial success response: {}: too old: dropped=3"


@pytest.mark.parametrize(
    ("signal", "content_type", "body", "is_said"),
    [
        (TRACES, PROTOBUF, SPANS, True),
        (LOGS, PROTOBUF, RECORDS.SerializeToString(), True),
        (TRACES, JSON, b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}', True),
        (LOGS, JSON, b'{"partialSuccess":{"rejectedLogRecords":3,"errorMessage":"too old"}}', True),
        (TRACES, JSON, b'{"partialSuccess":{}}', False),
        (TRACES, JSON, b'{"partialSuccess":null}', False),
        (TRACES, JSON, b"[]", False),
        (TRACES, PROTOBUF, b"fine", False),
        (TRACES, PROTOBUF, b"", False),
        (TRACES, "text/plain", SPANS, False),
    ],
)
def test_over_http(
    signal: Signal, content_type: str, body: bytes, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In protobuf and JSON; any other 2xx answer is a success without a word."""

    class Backend(Handler):
        def do_POST(self) -> None:
            self.body()
            self.reply(200, body, content_type=content_type)

    with serving(Backend) as port:
        endpoint = f"http://127.0.0.1:{port}"
        HttpTransport(OtlpHttpConfig(endpoint=endpoint)).send(signal, b"")
    assert caplog.messages == ([SAID.format(f"{endpoint}{signal.path}")] if is_said else [])


@pytest.mark.parametrize(("answer", "is_said"), [(SPANS, True), (b"", False)])
def test_over_grpc(answer: bytes, is_said: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The same."""
    server = grpc.server(ThreadPoolExecutor(1))
    export = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
    _, service, method = TRACES.method.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: export}),))
    endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        transport = GrpcTransport(
            OtlpGrpcConfig(endpoint=endpoint, tls=decode({"insecure": True}, OtlpGrpcConfig().tls))
        )
        transport.send(TRACES, b"")
        transport.close()
    finally:
        server.stop(None).wait()
    assert caplog.messages == ([SAID.format(endpoint)] if is_said else [])


def test_details_that_are_none_say_nothing_of_when_to_come_back() -> None:
    """A proxy may put anything there: the request is tried again all the same."""
    error: Any = SimpleNamespace(trailing_metadata=lambda: (("grpc-status-details-bin", b"\xff\xff"),))
    assert _retry_after(error) is None
