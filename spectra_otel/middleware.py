"""For web applications: whom a request's AI calls are made for, and records on disk once its response is out.

``ASGIMiddleware`` (FastAPI, Starlette, Django's ASGI) and ``WSGIMiddleware`` (Flask, Django's WSGI) wrap the application::

    app.add_middleware(ASGIMiddleware, user=lambda scope: scope["session"].get("user_id"))    # Starlette, FastAPI
    app.wsgi_app = WSGIMiddleware(app.wsgi_app, user=lambda environ: environ.get("REMOTE_USER"))    # Flask

A request that a budget stopped, and that the app did not answer itself, is answered with 429, JSON and ``Retry-After``. Every AI
call that a request makes carries the user, tags and metadata; one made outside a span of the app joins the trace that
the request's headers name. With ``SPECTRA_PERSISTENCE=after_response`` what was recorded is written after the last byte.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import propagate, trace

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.tracking import context

Scope = MutableMapping[str, Any]
Values = Mapping[str, Any]
ASGIApp = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Asked = Callable[[Any], Any] | Any
"""A value, or what gives it for a scope or environ."""
FLUSH_SECONDS = 5.0


class _Attributed:
    """What both kinds know of their requests."""

    def __init__(
        self,
        *,
        user: Asked = None,
        conversation_id: Asked = None,
        tags: Asked = (),
        metadata: Asked = None,
    ) -> None:
        self._asked = {"user": user, "conversation_id": conversation_id, "tags": tags, "metadata": metadata}

    @contextmanager
    def around(self, request: Any, headers: Mapping[str, str]) -> Iterator[None]:
        """Everything inside belongs to ``request``."""
        with ExitStack() as stack:
            try:
                stack.enter_context(context.context(**self._known(request)))
                if not trace.get_current_span().get_span_context().is_valid:
                    token = context_api.attach(propagate.extract(headers))
                    stack.callback(context_api.detach, token)
            except Exception as error:
                faults.report("middleware", error)
            yield

    def _known(self, request: Any) -> dict[str, Any]:
        found = {}
        for name, asked in self._asked.items():
            try:
                value = asked(request) if callable(asked) else asked
            except Exception as error:  # the app's own code: a request is served all the same
                faults.report(f"middleware {name}", error)
                continue
            if value:
                found[name] = value
        return found


class ASGIMiddleware(_Attributed):
    """Wraps an ASGI application.

    ``user``, ``conversation_id``, ``tags`` and ``metadata`` are values or functions of the scope.
    """

    def __init__(self, app: ASGIApp, **asked: Asked) -> None:
        super().__init__(**asked)
        self.app = app

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        try:
            with self.around(scope, headers), context.noticing_blocks() as blocks:
                await self._serve(scope, receive, send, blocks)
        finally:
            if _flushes():
                await asyncio.to_thread(_flush)

    async def _serve(self, scope: Scope, receive: Any, send: Any, blocks: list[BudgetExceededError]) -> None:
        """Serve it; what a budget stopped and the app leaves to its server is answered with 429."""
        started = answered = False

        async def watched(message: Any) -> None:
            nonlocal started, answered
            if message["type"] == "http.response.start":
                started = True
                if message["status"] == 500 and blocks:
                    answered = True
                    await _send_429(send, blocks[-1])
            if not answered:
                await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            block = _block_behind(error, blocks) if scope["type"] == "http" else None
            if started or block is None:
                if not answered:
                    raise
            else:
                await _send_429(send, block)


class WSGIMiddleware(_Attributed):
    """Wraps a WSGI application.

    ``user``, ``conversation_id``, ``tags`` and ``metadata`` are values or functions of the environ.
    """

    def __init__(self, app: WSGIApp, **asked: Asked) -> None:
        super().__init__(**asked)
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request; it lasts until the server closes what this gives back."""
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        stack = ExitStack()
        stack.enter_context(self.around(environ, headers))
        blocks = stack.enter_context(context.noticing_blocks())
        answered: list[bytes] = []

        def watched(status: str, headers: Any, *more: Any) -> Any:
            if status.startswith("500") and blocks:
                answered.append(_start_429(start_response, blocks[-1]))
                return lambda data: None
            return start_response(status, headers, *more)

        try:
            body = self.app(environ, watched)
        except BaseException as error:
            block = _block_behind(error, blocks) if isinstance(error, Exception) else None
            if block is None:
                stack.close()
                raise
            return _Body([_start_429(start_response, block)], stack)
        return _Body(body, stack, answered)


class _Body:
    """The body of a WSGI response; its ``close`` ends the request."""

    def __init__(self, body: Iterable[bytes], stack: ExitStack, instead: list[bytes] | None = None) -> None:
        self._body = body
        self._pieces = iter(body)
        self._instead = instead
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        if not self._instead:
            return piece
        self._pieces = iter(())
        return self._instead[0]

    def close(self) -> None:
        """End the request: after the last byte, or when the client is gone."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._stack.close()
            if _flushes():
                threading.Thread(target=_flush, name="spectra-after-response").start()


def _block_behind(error: Exception, blocks: list[BudgetExceededError]) -> BudgetExceededError | None:
    from spectra_otel.budgets.answers import block_behind

    return block_behind(error, blocks)


async def _send_429(send: Any, block: BudgetExceededError) -> None:
    from spectra_otel.budgets.answers import body_of, headers_of

    body = body_of(block)
    headers = {**headers_of(block), "content-length": str(len(body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 429, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _start_429(start_response: Callable[..., Any], block: BudgetExceededError) -> bytes:
    from spectra_otel.budgets.answers import body_of, headers_of

    body = body_of(block)
    start_response("429 Too Many Requests", [*headers_of(block).items(), ("content-length", str(len(body)))])
    return body


def _flushes() -> bool:
    """Whether records are written at the end of a request."""
    from spectra_otel.sdk.runtime import current_settings

    settings = current_settings()
    return settings is not None and settings.persistence == "after_response"


def _flush() -> None:
    """Write what was recorded. Streams that other requests are reading stay open."""
    from spectra_otel.sdk.runtime import current_host

    host = current_host()
    if host is not None:
        host.force_flush(FLUSH_SECONDS, settle=False)
