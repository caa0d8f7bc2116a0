"""``requests``: ``Session.send``, whatever adapter is mounted. A redirect is part of the call that led to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from spectra_otel import faults
from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.bodies import form_value
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers, Observer
from spectra_otel.instrumentors.streams import UsageHider
from spectra_otel.instrumentors.urllib3_raw import TappedRaw

MODULES = ("requests",)
_patches = patching.Patches()
_observer: Observer | None = None


def install(observer: Observer) -> None:
    """Observe sessions, if the module is imported."""
    global _observer
    _observer = observer
    module = sys.modules.get("requests")
    if module is not None and not _patches:
        _patches.wrap(module.Session, "send", _send)


def uninstall() -> None:
    """Leave sessions as they were."""
    global _observer
    _observer = None
    _patches.undo()


def _send(send: Callable[..., Any], session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In place of ``Session.send``."""
    request = args[0] if args else kwargs.get("request")
    exchange = patching.begin(_observer, request.method, request.url, lambda: _message(request)) if request else None
    if exchange is None:
        return send(*args, **kwargs)
    blocked = exchange.admit()
    if blocked is not None:
        return _answer(request, blocked)
    kwargs = {**kwargs, "stream": kwargs.get("stream", session.stream)}
    asking, hider = _prepare(exchange, request)
    reads_whole = not kwargs["stream"]
    if hider is not None:
        kwargs["stream"] = True
    with patching.sending(exchange):
        response = send(asking, *args[1:], **{name: value for name, value in kwargs.items() if name != "request"})
    response.request = request if asking is not request and response.request is asking else response.request
    _observe(exchange, response, hider)
    if hider is not None and reads_whole:
        _ = response.content
    return response


def _message(request: Any) -> tuple[Headers, Body]:
    body = request.body
    if isinstance(body, str):
        body = body.encode()
    if body is not None and not isinstance(body, bytes):
        content = form_value(body)
        body = {"file": content} if content is not None else None
    return patching.lowered(request.headers), body


def _prepare(exchange: Exchange, request: Any) -> tuple[Any, UsageHider | None]:
    """The request to send, and a hider if it asks for usage that the app did not ask for."""
    try:
        asking_body = exchange.asks_for_usage()
        body = asking_body or exchange.rewritten()
        if body is None:
            return request, None
        asking = request.copy()
        asking.body = body
        asking.headers["Content-Length"] = str(len(body))
        return asking, UsageHider() if asking_body is not None else None
    except Exception as error:
        faults.report("usage of streams", error)
        return request, None


def _observe(exchange: Exchange, response: Any, hider: UsageHider | None) -> None:
    """Read the answer, or have it read while the app does. Raises nothing."""
    try:
        headers = patching.lowered(response.headers)
        exchange.answered(response.status_code, headers)
        content_type = headers.get("content-type", "").lower()
        if response._content_consumed:
            exchange.whole(response.content, content_type)
            return
        tap = exchange.tap(content_type, None, hider)
        encoding = headers.get("content-encoding", "identity")
        response.raw = TappedRaw(response.raw, tap, is_encoded=encoding not in ("", "identity"))
    except Exception as error:
        faults.report("instrumentor", error)
        exchange.give_up()


def _answer(request: Any, blocked: Any) -> Any:
    """A response that no provider sent."""
    module = sys.modules["requests"]
    response = module.Response()
    response.status_code = blocked.status
    response.headers.update(blocked.headers)
    response.request, response.url = request, request.url
    response._content, response._content_consumed = blocked.body, True
    return response
