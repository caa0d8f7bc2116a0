"""OTLP over gRPC, on grpcio's asyncio server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc

from spectra_otel.component import ComponentID
from spectra_otel.errors import ConfigError
from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import SIGNALS, Signal
from spectra_otel.service.delivery import (
    RETRY_AFTER_SECONDS,
    Authenticator,
    Outcome,
    Payload,
    ReceiverHost,
    Room,
    refusal_of,
)
from spectra_otel.service.exposition import split_endpoint, with_port
from spectra_otel.service.listening import check_free, check_path
from spectra_otel.service.logs import fields
from spectra_otel.service.otlp_receiver import answers
from spectra_otel.service.otlp_receiver.config import GrpcServer
from spectra_otel.service.otlp_receiver.tls import server_credentials

_INLINE_BYTES = 16 * 1024
_STOP_SECONDS = 10.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_log = logging.getLogger(__name__)


class GrpcReceiver:
    """The gRPC half of the ``otlp`` receiver."""

    def __init__(self, id_: ComponentID, config: GrpcServer, host: ReceiverHost, decoders: ThreadPoolExecutor) -> None:
        self._id = id_
        self._config = config
        self._host = host
        self._decoders = decoders
        self._auth: Authenticator | None = host.authenticator(config.auth.authenticator) if config.auth else None
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """The port it got, once started."""

    async def start(self) -> None:
        """Listen. Raises :class:`ConfigError` where that is not possible."""
        self._server = grpc.aio.server(options=_options(self._config))
        for signal in SIGNALS.values():
            if self._host.takes(self._id, signal):
                _, service, method = signal.method.split("/")
                handler: Any = grpc.unary_unary_rpc_method_handler(self._handler(signal))
                self._server.add_generic_rpc_handlers(
                    (grpc.method_handlers_generic_handler(service, {method: handler}),)
                )
        address = self._address()
        # gRPC is content with one address of several, takes a socket from whoever has it, and does not say what went wrong.
        (check_free if self._config.transport == "tcp" else check_path)(self._config.endpoint)
        try:
            if self._config.tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, server_credentials(self._config.tls))
        except (RuntimeError, OSError) as error:
            raise ConfigError(f"cannot listen on '{self._config.endpoint}': {error}") from error
        await self._server.start()
        endpoint = with_port(self._config.endpoint, self.port)
        _log.info("Starting GRPC server", extra=fields("receiver", self._id, endpoint=endpoint))

    def _address(self) -> str:
        if self._config.transport == "unix":
            return f"unix:{self._config.endpoint}"
        host, port = split_endpoint(self._config.endpoint)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and finish what is under way."""
        if self._server is not None:
            await self._server.stop(_STOP_SECONDS)

    def _handler(self, signal: Signal) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(body: bytes, context: Any) -> bytes:
            metadata = {str(key).lower(): str(value) for key, value in context.invocation_metadata() or ()}
            if self._auth is not None and (reason := await refusal_of(self._auth, metadata)) is not None:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)
            if not self._host.room.take(len(body)):
                await self._abort(context, Outcome("too many requests under way"))
            try:
                payload = await self._payload(signal, body, metadata if self._config.include_metadata else {})
                future = self._host.deliver(self._id, payload)
            except BaseException as error:
                self._host.room.give_back(len(body))
                if isinstance(error, BadRequestError):
                    self._host.telemetry.received(str(self._id), "grpc", signal, 0, "failed")
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                raise
            # Not when this ends, which is earlier where the sender goes away: the request is under way all the same.
            future.add_done_callback(partial(_give_back, self._host.room, len(body)))
            outcome = await asyncio.wrap_future(future)
            self._host.telemetry.answered(str(self._id), "grpc", signal, payload.items, outcome)
            if outcome.error is not None:
                await self._abort(context, outcome)
            return answers.success_body(answers.PROTOBUF, outcome.rejected, outcome.reason)

        return export

    async def _payload(self, signal: Signal, body: bytes, metadata: dict[str, str]) -> Payload:
        if len(body) <= _INLINE_BYTES:
            return answers.received(signal, body, metadata)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, answers.received, signal, body, metadata)

    async def _abort(self, context: Any, outcome: Outcome) -> None:
        """UNAVAILABLE with RetryInfo where the sender shall come back, else INTERNAL."""
        if not outcome.is_transient:
            await context.abort(grpc.StatusCode.INTERNAL, outcome.error)
        status = answers.status_of(answers.UNAVAILABLE, outcome.error or "", outcome.retry_after or RETRY_AFTER_SECONDS)
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(_CODES[answers.UNAVAILABLE], outcome.error, details)


def _give_back(room: Room, size: int, _: object) -> None:
    room.give_back(size)


def _options(config: GrpcServer) -> list[tuple[str, int]]:
    """Arguments of gRPC's core for what is set."""
    server, policy = config.keepalive.server_parameters, config.keepalive.enforcement_policy
    milliseconds = {
        "grpc.max_connection_idle_ms": server.max_connection_idle,
        "grpc.max_connection_age_ms": server.max_connection_age,
        "grpc.max_connection_age_grace_ms": server.max_connection_age_grace,
        "grpc.keepalive_time_ms": server.time,
        "grpc.keepalive_timeout_ms": server.timeout,
        "grpc.http2.min_recv_ping_interval_without_data_ms": policy.min_time,
    }
    return [
        ("grpc.max_receive_message_length", config.max_recv_msg_size_mib << 20),
        ("grpc.so_reuseport", 0),
        *((name, round(value * 1000)) for name, value in milliseconds.items() if value > 0),
        *([("grpc.keepalive_permit_without_calls", 1)] if policy.permit_without_stream else []),
        *([("grpc.max_concurrent_streams", config.max_concurrent_streams)] if config.max_concurrent_streams else []),
    ]
