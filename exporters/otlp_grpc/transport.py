"""OTLP/gRPC as the collector sends it: the protobuf request as it is, any signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.exporters.otlp_grpc.exporter import COMPRESSION, channel_options, credentials_of
from spectra_otel.otlp.signals import Signal
from spectra_otel.otlp.transport import PROTOBUF, SendError, report_partial

_RETRYABLE = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)


class GrpcTransport:
    """Calls ``Export`` of the signal's service over one channel, which threads may share."""

    def __init__(self, config: OtlpGrpcConfig) -> None:
        self._timeout = float(config.timeout)
        self._metadata = tuple((name.lower(), value.reveal()) for name, value in config.headers.items())
        self._compression = COMPRESSION[config.compression]
        insecure = config.tls.insecure or config.endpoint.startswith("http://")
        target = config.endpoint.removeprefix("http://").removeprefix("https://").rstrip("/")
        options = [("grpc.max_receive_message_length", 4 << 20), *channel_options(config)]
        self._channel = (
            grpc.insecure_channel(target, options)
            if insecure
            else grpc.secure_channel(target, credentials_of(config.tls), options)
        )
        self._target = target
        self._waits = config.wait_for_ready
        self._credentials: Callable[[], Mapping[str, str]] = dict

    def add_headers(self, headers: Callable[[], Mapping[str, str]]) -> None:
        """Ask ``headers`` for more of them with each request."""
        self._credentials = headers

    def send(self, signal: Signal, body: bytes) -> None:
        """Send one request. Raises :class:`SendError`."""
        call: Any = self._channel.unary_unary(signal.method)
        try:
            metadata = (*self._metadata, *self._credentials().items())
        except OSError as error:
            raise SendError(f"{self._target}: no credentials: {error}", is_transient=True) from None
        try:
            answer: bytes = call(
                body,
                timeout=self._timeout,
                metadata=metadata,
                compression=self._compression,
                wait_for_ready=self._waits,
            )
        except grpc.RpcError as error:
            raise _send_error(self._target, error) from None
        report_partial(self._target, PROTOBUF, answer)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _send_error(target: str, error: Any) -> SendError:
    code, retry_after = error.code(), _retry_after(error)
    # RESOURCE_EXHAUSTED may mean "too large for ever": only a server that says when to come back means "for now".
    is_transient = code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after is not None)
    return SendError(
        f"{target}: {code.name}: {(error.details() or '')[:200]}",
        is_transient=is_transient,
        retry_after=retry_after or 0.0,
    )


def _retry_after(error: Any) -> float | None:
    """Seconds of a ``RetryInfo`` in the status details."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = RetryInfo()
            try:
                if any(detail.Unpack(info) for detail in Status.FromString(value).details):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
            except DecodeError:  # a proxy's own
                return None
    return None
