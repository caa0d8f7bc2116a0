"""What receivers hand over, what they are told, and how much may be under way.

A receiver reads a request, reserves room for it, calls ``host.deliver`` and answers its client when the future it got is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.message import DecodeError

from spectra_otel.component import ComponentID
from spectra_otel.otlp.protobuf import BadRequestError, check_ids
from spectra_otel.otlp.signals import TRACES, Signal

if TYPE_CHECKING:
    from spectra_otel.service.telemetry import Telemetry

RETRY_AFTER_SECONDS = 1
"""What a sender is told to wait when there is no room."""

MAX_UNDER_WAY_BYTES = 96 * 1024 * 1024


request_metadata: ContextVar[Mapping[str, str]] = ContextVar("request_metadata", default=MappingProxyType({}))
"""The headers of the request whose spans a processor is given, where its receiver keeps them (``include_metadata``)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One request of OTLP, as bytes that were decoded once to see that they are right: decoded they take five times the memory.

    ``metadata`` are the request's headers (lower case) where the receiver was told to keep them.
    """

    signal: Signal
    body: bytes
    items: int
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> Any:
        """Decoded, each time it is asked for."""
        return self.signal.request.FromString(self.body)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a payload. ``error`` is None where it is durable or queued in every place it goes to."""

    error: str | None = None
    is_transient: bool = True
    """Whether trying again can help."""
    retry_after: int = RETRY_AFTER_SECONDS
    rejected: int = 0
    """Spans of an accepted request that a processor did not take; ``reason`` says why. The sender shall not send them again."""
    reason: str = ""

    def is_worse_than(self, other: Outcome) -> bool:
        """Whether a sender of both should rather hear this one."""
        if self.error is not None:
            return other.error is None or self.is_transient
        return other.error is None and self.rejected > other.rejected


ACCEPTED = Outcome()
BROKEN = Outcome("internal error", is_transient=False)


def payload_of(signal: Signal, body: bytes, metadata: Mapping[str, str] | None = None) -> Payload:
    """Decode and check a protobuf request. Raises :class:`BadRequestError`."""
    try:
        message: Any = signal.request.FromString(body)
    except DecodeError as error:
        raise BadRequestError(f"not a protobuf request of {signal.name}: {error}") from None
    if signal is TRACES:
        check_ids(message)
    return Payload(signal, body, signal.count(message), metadata or {})


class Room:
    """Bytes of requests under way, bounded: beyond it senders are asked to try again. Thread-safe."""

    def __init__(self, limit: int = MAX_UNDER_WAY_BYTES) -> None:
        self._limit = limit
        self._used = 0
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Reserve; one request alone is always let in, however large."""
        with self._lock:
            if self._used and self._used + size > self._limit:
                return False
            self._used += size
            return True

    def give_back(self, size: int) -> None:
        """Release what was reserved."""
        with self._lock:
            self._used -= size


class Authenticator(Protocol):
    """An extension that says who may send."""

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers (lower case) is not let in; None if it is.

        It is asked on the event loop, or on a thread where the extension has a true attribute ``is_slow``.
        """


async def refusal_of(authenticator: Authenticator, headers: Mapping[str, str]) -> str | None:
    """What an authenticator says, without keeping the event loop from others."""
    if getattr(authenticator, "is_slow", False):
        return await asyncio.get_running_loop().run_in_executor(None, authenticator.refusal, headers)
    return authenticator.refusal(headers)


class ReceiverHost(Protocol):
    """What the collector gives a receiver."""

    room: Room
    telemetry: Telemetry

    def deliver(self, receiver: ComponentID, payload: Payload) -> Future[Outcome]:
        """Send a payload through every pipeline of its signal that names the receiver."""
        ...

    def takes(self, receiver: ComponentID, signal: Signal) -> bool:
        """Whether a pipeline of that signal names the receiver."""
        ...

    def authenticator(self, id: str) -> Authenticator:
        """The running extension of that id. Raises :class:`ConfigError`."""
        ...


class Receiver(Protocol):
    """A source of payloads, run on the collector's event loop."""

    async def start(self, host: ReceiverHost) -> None:
        """Begin; raises :class:`ConfigError` where that is not possible."""

    async def stop(self) -> None:
        """Take nothing new, and return when what was taken is answered."""
