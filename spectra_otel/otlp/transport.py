"""What an exporter that forwards OTLP gives the collector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spectra_otel.errors import SpectraError
from spectra_otel.otlp.signals import Signal

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_log = logging.getLogger(__name__)


class SendError(SpectraError):
    """A request was not taken. ``is_transient`` says whether the same bytes may be taken later."""

    def __init__(self, message: str, *, is_transient: bool, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.retry_after = retry_after
        """Seconds the backend asked to wait."""


class Transport(Protocol):
    """Sends one request of OTLP as it is. Used by several threads at once."""

    def send(self, signal: Signal, body: bytes) -> None:
        """Return when the backend has taken ``body``, a protobuf request. Raises :class:`SendError`."""

    def close(self) -> None:
        """Close connections."""


@runtime_checkable
class TakesHeaders(Protocol):
    """A transport whose requests can carry an authenticator's credentials."""

    def add_headers(self, headers: Callable[[], Mapping[str, str]]) -> None:
        """Ask ``headers`` for more of them with each request."""


def reason_of(error: Exception) -> str:
    """What an HTTP client's exception says went wrong, without the layers around it."""
    cause: Any = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause))[:300]


def report_partial(where: str, content_type: str, body: bytes) -> None:
    """Log what a backend that took the rest of a request says it left out: nobody else would hear of it."""
    try:
        dropped, reason = _PARTIAL[content_type](body) if body and content_type in _PARTIAL else (0, "")
    except (DecodeError, ValueError, TypeError, AttributeError):
        return
    if dropped or reason:
        _log.warning("Partial success response: %s: %s: dropped=%d", where, reason, dropped)


def _of_protobuf(body: bytes) -> tuple[int, str]:
    partial = ExportTraceServiceResponse.FromString(body).partial_success  # other signals' are the same on the wire
    return partial.rejected_spans, partial.error_message


def _of_json(body: bytes) -> tuple[int, str]:
    partial = orjson.loads(body).get("partialSuccess") or {}
    return sum(int(value) for name, value in partial.items() if name.startswith("rejected")), partial.get(
        "errorMessage", ""
    )


_PARTIAL: dict[str, Callable[[bytes], tuple[int, str]]] = {PROTOBUF: _of_protobuf, JSON: _of_json}
