"""``requests``: ``Session.send``, whatever adapter is mounted. A redirect is part of the call that led to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.bodies import form_value
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.streams import UsageHider
from spectra_otel.instrumentors.urllib3_raw import tapped


def _send(send: Callable[..., Any], session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In place of ``Session.send``."""
    request = args[0] if args else kwargs.get("request")
    if request is None:
        return send(*args, **kwargs)
    exchange = _instrumentor.begin(request.method, request.url, patching.parts_of_text, _message, request)
    if exchange is None:
        return send(*args, **kwargs)
    blocked = exchange.admit()
    if blocked is not None:
        return _answer(request, blocked)
    asking, hider = patching.prepare(exchange, lambda body: _with_body(request, body))
    options = {"stream": session.stream, **kwargs}
    options.pop("request", None)
    reads_whole = not options["stream"]
    options["stream"] = options["stream"] or hider is not None
    with patching.sending(exchange):
        response = send(asking or request, *args[1:], **options)
    if response.request is asking:
        response.request = request
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


def _with_body(request: Any, body: bytes) -> Any:
    asking = request.copy()
    asking.body = body
    asking.headers["Content-Length"] = str(len(body))
    return asking


@patching.observes
def _observe(exchange: Exchange, response: Any, hider: UsageHider | None) -> None:
    """Read the answer, or have it read while the app does."""
    headers = patching.lowered(response.headers)
    exchange.answered(response.status_code, headers)
    content_type = headers.get("content-type", "").lower()
    if response._content_consumed:
        exchange.whole(response.content, content_type)
        return
    tap = exchange.tap(content_type, None, hider)
    encoding = headers.get("content-encoding", "identity")
    response.raw = tapped(response.raw, tap, is_encoded=encoding not in ("", "identity"))


def _answer(request: Any, blocked: Any) -> Any:
    """A response that no provider sent."""
    module = sys.modules["requests"]
    response = module.Response()
    response.status_code = blocked.status
    response.headers.update(blocked.headers)
    response.request, response.url = request, request.url
    response._content, response._content_consumed = blocked.body, True
    return response


_instrumentor = patching.Instrumentor(lambda patches, module: patches.wrap(module.Session, "send", _send), "requests")
install, uninstall = _instrumentor.install, _instrumentor.uninstall
