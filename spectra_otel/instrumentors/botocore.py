"""botocore: ``URLLib3Session.send``, one attempt of a call to AWS. The request is signed, so it is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.urllib3_raw import tapped


def _send(send: Callable[..., Any], _session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In place of ``URLLib3Session.send``."""
    request = args[0] if args else kwargs.get("request")
    if request is None:
        return send(*args, **kwargs)
    exchange = _instrumentor.begin(request.method, request.url, patching.parts_of_text, _message, request)
    if exchange is None:
        return send(*args, **kwargs)
    exchange.admit()  # raises where a budget says no: all providers behind AWS have it so
    with patching.sending(exchange):
        response = send(*args, **kwargs)
    _observe(exchange, response)
    return response


def _message(request: Any) -> tuple[Headers, Body]:
    body = request.body
    if isinstance(body, str):
        body = body.encode()
    return patching.lowered(request.headers), bytes(body) if isinstance(body, bytes | bytearray) else None


@patching.observes
def _observe(exchange: Exchange, response: Any) -> None:
    """Read the answer, or have it read while the app does."""
    headers = patching.lowered(response.headers)
    exchange.answered(response.status_code, headers)
    content_type = headers.get("content-type", "").lower()
    if response._content is not None:
        exchange.whole(response.content, content_type)
        return
    response.raw = tapped(response.raw, exchange.tap(content_type, None, None), is_encoded=False)


_instrumentor = patching.Instrumentor(
    lambda patches, module: patches.wrap(module.URLLib3Session, "send", _send), "botocore.httpsession"
)
install, uninstall = _instrumentor.install, _instrumentor.uninstall
