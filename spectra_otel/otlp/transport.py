"""What an exporter that forwards OTLP gives the collector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from spectra_otel.errors import SpectraError
from spectra_otel.otlp.signals import Signal


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
