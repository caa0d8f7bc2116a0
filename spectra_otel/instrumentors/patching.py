"""Putting a wrapper in place of a client's method, and taking it back; what all clients' wrappers have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.trace import set_span_in_context

from spectra_otel import faults
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers, Observer
from spectra_otel.tracking.request import model_call_span

_SUPPRESSED = "suppress_instrumentation"
is_sending: ContextVar[bool] = ContextVar("spectrais_sending", default=False)
"""A client that we observe is sending: a client beneath it, or a redirect, is part of the same call."""


class Patches:
    """The methods of one client that are wrapped."""

    def __init__(self) -> None:
        self._made: list[tuple[type, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._made)

    def wrap(self, owner: type, name: str, wrapper: Callable[..., Any]) -> None:
        """Have ``wrapper(original, self, *args, **kwargs)`` run in place of a method."""
        original = owner.__dict__[name]

        @functools.wraps(original)
        def ours(client: Any, *args: Any, **kwargs: Any) -> Any:
            return wrapper(functools.partial(original, client), client, args, kwargs)

        setattr(owner, name, ours)
        self._made.append((owner, name, original, ours))

    def undo(self) -> None:
        """Leave the methods as they were. Where somebody wrapped one after us, ours stays beneath and passes on."""
        if all(owner.__dict__.get(name) is ours for owner, name, _, ours in self._made):
            for owner, name, original, _ in self._made:
                setattr(owner, name, original)
            self._made.clear()


def begin(
    observer: Observer | None, method: str, url: str, message: Callable[[], tuple[Headers, Body]]
) -> Exchange | None:
    """An exchange for a request to ``url``, if that is tracked; ``message`` gives its headers and body. Never raises."""
    if observer is None or is_sending.get():
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        found = observer.find(method, host, port, parts.path)
        if found is None or is_suppressed():
            return None
        headers, body = message()
        return observer.begin(found, method, host, port, parts.path, parts.query, headers, body)
    except Exception as error:
        faults.report("instrumentor", error)
        return None


def is_suppressed() -> bool:
    """Whether nothing is to be instrumented here.

    An instrumentation of the model call that says so to those beneath it (Logfire) does not mean its own call, which is billed.
    """
    return bool(context_api.get_value(_SUPPRESSED)) and model_call_span(context_api.get_current()) is None


@contextmanager
def sending(exchange: Exchange) -> Iterator[None]:
    """While a request is under way: our span is the current one, and what goes wrong is the record's failure."""
    span = exchange.request.span
    mark = is_sending.set(True)
    token = None if span is None else context_api.attach(set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        exchange.failed(error)
        raise
    finally:
        if token is not None:
            context_api.detach(token)
        is_sending.reset(mark)


def lowered(headers: Any) -> dict[str, str]:
    """Headers of any client by lower-case name."""
    return {_text(name).lower(): _text(value) for name, value in headers.items()} if headers else {}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
