"""OTLP over HTTP, on aiohttp's server."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from spectra_otel.component import ComponentID
from spectra_otel.errors import ConfigError
from spectra_otel.otlp.json_wire import protobuf_of
from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import LOGS, METRICS, TRACES, Signal
from spectra_otel.service.delivery import Authenticator, Outcome, Payload, ReceiverHost, refusal_of
from spectra_otel.service.exposition import with_port
from spectra_otel.service.listening import bound, check_path, reason
from spectra_otel.service.logs import fields
from spectra_otel.service.otlp_receiver import answers
from spectra_otel.service.otlp_receiver.config import LARGEST_BODY, Cors, HttpServer
from spectra_otel.service.otlp_receiver.tls import keep_current, server_context

_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_BACKLOG = 4096
_INLINE_BYTES = 16 * 1024
"""Bodies up to this size are decoded on the event loop: handing them to a thread takes longer."""
_log = logging.getLogger(__name__)
_server_log = logging.getLogger(f"{__name__}.server")


def _is_news(record: logging.LogRecord) -> bool:
    """What clients send that is no HTTP is answered, not logged, for it may hold their credentials; nor that one went away."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))


_server_log.addFilter(_is_news)


@dataclass(frozen=True, slots=True)
class _Refusal(Exception):
    """An answer other than success."""

    status: int
    code: int
    message: str
    retry_after: int | None = None
    closes: bool = False


class HttpReceiver:
    """The HTTP half of the ``otlp`` receiver."""

    def __init__(self, id_: ComponentID, config: HttpServer, host: ReceiverHost, decoders: ThreadPoolExecutor) -> None:
        self._id = id_
        self._config = config
        self._host = host
        self._decoders = decoders
        self._auth: Authenticator | None = host.authenticator(config.auth.authenticator) if config.auth else None
        self._encodings = answers.encodings().intersection(config.compression_algorithms) | {""}
        self._limit = max(0, config.max_request_body_size) or LARGEST_BODY
        self._runner: web.AppRunner | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.port = 0
        """The port it got, once started."""

    async def start(self) -> None:
        """Listen. Raises :class:`ConfigError` where that is not possible."""
        app = web.Application(middlewares=[self._cors] if self._config.cors else [])
        if self._config.response_headers:
            app.on_response_prepare.append(self._add_headers)
        for signal, path in (
            (TRACES, self._config.traces_url_path),
            (METRICS, self._config.metrics_url_path),
            (LOGS, self._config.logs_url_path),
        ):
            if self._host.takes(self._id, signal):
                app.router.add_route("*", path, self._handler(signal))
        self._runner = runner = web.AppRunner(
            app,
            access_log=None,
            logger=_server_log,
            auto_decompress=False,
            handle_signals=False,
            keepalive_timeout=float(self._config.idle_timeout),
            shutdown_timeout=_STOP_SECONDS,
        )
        await runner.setup()
        tls = server_context(self._config.tls) if self._config.tls else None
        for site in self._sites(runner, tls):
            try:
                await site.start()
            except OSError as error:
                raise ConfigError(f"cannot listen on '{self._config.endpoint}': {reason(error)}") from error
        if self._config.transport == "tcp":
            self.port = int(runner.addresses[0][1])
        if tls is not None and self._config.tls is not None and self._config.tls.reload_interval > 0:
            self._renewal = asyncio.get_running_loop().create_task(keep_current(tls, self._config.tls))
        endpoint = with_port(self._config.endpoint, self.port)
        _log.info("Starting HTTP server", extra=fields("receiver", self._id, endpoint=endpoint))

    async def stop(self) -> None:
        """Stop listening and finish what is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._runner is None:
            return
        ending = asyncio.create_task(self._runner.cleanup())
        while not (await asyncio.wait([ending], timeout=_LOOK_SECONDS))[0]:
            # It closes idle connections once, and then waits for one that was accepted in that very instant.
            if self._runner.server is not None:
                self._runner.server.pre_shutdown()
        await ending

    def _sites(self, runner: web.AppRunner, tls: ssl.SSLContext | None) -> list[web.BaseSite]:
        if self._config.transport == "unix":
            check_path(self._config.endpoint)
            return [web.UnixSite(runner, self._config.endpoint, ssl_context=tls, backlog=_BACKLOG)]
        sockets = bound(self._config.endpoint)
        return [web.SockSite(runner, each, ssl_context=tls, backlog=_BACKLOG) for each in sockets]

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._config.response_headers)

    def _handler(self, signal: Signal) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            content_type = request.content_type
            try:
                await self._check_head(request, content_type)
                return await self._receive(request, signal, content_type)
            except _Refusal as refusal:
                return _answer(content_type, refusal)

        return handle

    async def _check_head(self, request: web.Request, content_type: str) -> None:
        """What can be refused before the body is read."""
        if self._auth is not None:
            headers = {name.lower(): value for name, value in request.headers.items()}
            if (reason := await refusal_of(self._auth, headers)) is not None:
                raise _Refusal(401, answers.UNAUTHENTICATED, reason)
        if request.method != "POST":
            raise _Refusal(405, answers.UNIMPLEMENTED, f"{request.method} method not allowed, supported: [POST]")
        if content_type not in (answers.PROTOBUF, answers.JSON):
            supported = f"[{answers.JSON}, {answers.PROTOBUF}]"
            raise _Refusal(
                415, answers.INVALID_ARGUMENT, f"unsupported media type, supported: {supported}", closes=True
            )
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in self._encodings and encoding != "identity":
            raise _Refusal(400, answers.INVALID_ARGUMENT, f"unsupported Content-Encoding: {encoding}", closes=True)
        if (request.content_length or 0) > self._limit:
            raise self._too_large()

    async def _receive(self, request: web.Request, signal: Signal, content_type: str) -> web.StreamResponse:
        reserved = _Reservation(self._host)
        try:
            body = await self._read(request, reserved)
            payload = await self._decode(request, signal, content_type, body, reserved)
            outcome = await asyncio.wrap_future(self._host.deliver(self._id, payload))
        finally:
            reserved.give_back()
        self._count(signal, payload.items, outcome)
        if outcome.error is None:
            body = answers.success_body(content_type, outcome.rejected, outcome.reason)
            return web.Response(body=body, content_type=content_type)
        raise _refused(outcome)

    async def _read(self, request: web.Request, reserved: _Reservation) -> bytes:
        reserved.take(request.content_length or 0)
        limit = self._limit
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(float(self._config.read_timeout) or None):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        raise self._too_large()
                    if size > reserved.size:
                        reserved.take(len(part))
                    parts.append(part)
        except TimeoutError:
            raise _Refusal(408, answers.INVALID_ARGUMENT, "the body did not arrive in time", closes=True) from None
        return b"".join(parts)

    async def _decode(
        self, request: web.Request, signal: Signal, content_type: str, body: bytes, reserved: _Reservation
    ) -> Payload:
        encoding = request.headers.get("Content-Encoding", "").lower().replace("identity", "")
        metadata: Mapping[str, str] = (
            {name.lower(): value for name, value in request.headers.items()} if self._config.include_metadata else {}
        )

        def decode() -> Payload:
            unpacked = answers.unpack(encoding, body, self._limit)
            request = protobuf_of(signal, unpacked) if content_type == answers.JSON else unpacked
            return answers.received(signal, request, metadata)

        try:
            if len(body) <= _INLINE_BYTES and not encoding:
                payload = decode()
            else:
                payload = await asyncio.get_running_loop().run_in_executor(self._decoders, decode)
        except answers.TooLargeError:
            raise self._too_large() from None
        except BadRequestError as error:
            self._host.telemetry.received(str(self._id), "http", signal, 0, "failed")
            raise _Refusal(400, answers.INVALID_ARGUMENT, str(error)) from None
        reserved.take(max(0, len(payload.body) - reserved.size))
        return payload

    def _too_large(self) -> _Refusal:
        limit = self._limit
        return _Refusal(413, answers.INVALID_ARGUMENT, f"request body too large: at most {limit} bytes", closes=True)

    def _count(self, signal: Signal, items: int, outcome: Outcome) -> None:
        self._host.telemetry.answered(str(self._id), "http", signal, items, outcome)

    @web.middleware
    async def _cors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        cors = self._config.cors or Cors()
        allowed = bool(origin) and any(fnmatchcase(origin, pattern) for pattern in cors.allowed_origins)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: web.StreamResponse = web.Response(status=204)
            if allowed:
                response.headers["Access-Control-Allow-Methods"] = "POST"
                response.headers["Access-Control-Allow-Headers"] = _allowed_headers(cors, request)
                if cors.max_age:
                    response.headers["Access-Control-Max-Age"] = str(cors.max_age)
        else:
            response = await handler(request)
        response.headers["Vary"] = "Origin"  # of refusals too: caches must not give one origin another's answer
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Credentials"] = "true"
            if cors.exposed_headers:
                response.headers["Access-Control-Expose-Headers"] = ", ".join(cors.exposed_headers)
        return response


class _Reservation:
    """The room one request takes."""

    def __init__(self, host: ReceiverHost) -> None:
        self._host = host
        self.size = 0

    def take(self, size: int) -> None:
        if size and not self._host.room.take(size):
            raise _Refusal(503, answers.UNAVAILABLE, "too many requests under way", 1, closes=True)
        self.size += size

    def give_back(self) -> None:
        self._host.room.give_back(self.size)
        self.size = 0


def _allowed_headers(cors: Cors, request: web.Request) -> str:
    """Those that were asked for and are allowed; the ones OTLP needs always are."""
    always = ("content-type", "accept", "x-requested-with", "origin")
    asked = [name.strip() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")]
    wanted = {name.lower() for name in cors.allowed_headers}
    return ", ".join(name for name in asked if name.lower() in always or name.lower() in wanted or "*" in wanted)


def _refused(outcome: Outcome) -> _Refusal:
    if outcome.is_transient:
        return _Refusal(503, answers.UNAVAILABLE, outcome.error or "", outcome.retry_after)
    return _Refusal(500, answers.INTERNAL, outcome.error or "")


def _answer(content_type: str, refusal: _Refusal) -> web.Response:
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after is not None else {}
    if refusal.status in (401,):
        headers["WWW-Authenticate"] = "Bearer, Basic"
    if content_type not in (answers.PROTOBUF, answers.JSON) or refusal.status in (401, 405):
        response = web.Response(status=refusal.status, text=refusal.message, headers=headers)
    else:
        body = answers.status_body(content_type, refusal.code, refusal.message, refusal.retry_after)
        response = web.Response(status=refusal.status, body=body, content_type=content_type, headers=headers)
    if refusal.closes:
        response.force_close()
    return response
