"""What the instrumentors of all HTTP clients have in common: putting a wrapper in place of a method and taking it back, asking
for an exchange, sending within it, and reading its answer without harm to the app.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType, TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.trace import set_span_in_context

from spectra_otel import faults
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.observing import Observer
from spectra_otel.instrumentors.streams import UsageHider
from spectra_otel.tracking.spans import model_call_span

P = ParamSpec("P")
T = TypeVar("T")
Where = tuple[str, int | None, str, str]
"""Host, port, path and query of a URL; the path as it is sent, for a ``%2F`` may be part of a model's name."""
_SUPPRESSED = "suppress_instrumentation"
is_sending: ContextVar[bool] = ContextVar("spectra_is_sending", default=False)
"""A client that we observe is sending: a client beneath it, or a redirect, is part of the same call."""


class Patches:
    """The methods of one module that are wrapped."""

    def __init__(self) -> None:
        self._made: list[tuple[type, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._made)

    def wrap(self, owner: type, name: str, wrapper: Callable[..., Any]) -> None:
        """Have ``wrapper(original, self, args, kwargs)`` run in place of a method; a coroutine function stays one."""
        original = owner.__dict__[name]

        @functools.wraps(original)
        def plain(client: Any, *args: Any, **kwargs: Any) -> Any:
            return wrapper(functools.partial(original, client), client, args, kwargs)

        @functools.wraps(original)
        async def awaited(client: Any, *args: Any, **kwargs: Any) -> Any:
            return await wrapper(functools.partial(original, client), client, args, kwargs)

        ours = awaited if inspect.iscoroutinefunction(original) else plain
        setattr(owner, name, ours)
        self._made.append((owner, name, original, ours))

    def undo(self) -> None:
        """Leave the methods as they were. Where somebody wrapped one after us, ours stays beneath and passes on."""
        if all(owner.__dict__.get(name) is ours for owner, name, _, ours in self._made):
            for owner, name, original, _ in self._made:
                setattr(owner, name, original)
            self._made.clear()


class Instrumentor:
    """Observes one HTTP client: ``patch(patches, module)`` wraps what it sends with. ``observer``: who looks, None for nobody."""

    def __init__(self, patch: Callable[[Patches, ModuleType], None], *modules: str) -> None:
        self.observer: Observer | None = None
        self._patch = patch
        self._patches = {name: Patches() for name in modules}

    def install(self, observer: Observer) -> None:
        """Observe the client, if it is imported. Never raises."""
        self.observer = observer
        for name, patches in self._patches.items():
            module = sys.modules.get(name)
            if module is not None and not patches:
                try:
                    self._patch(patches, module)
                except Exception as error:
                    faults.report(f"instrumentor {name}", error)

    def uninstall(self) -> None:
        """Leave the client as it was."""
        self.observer = None
        for patches in self._patches.values():
            patches.undo()

    def begin(
        self, method: str, url: Any, parts: Callable[[Any], Where], message: Callable[P, tuple[Headers, Body]],
        *args: P.args, **kwargs: P.kwargs,
    ) -> Exchange | None:  # fmt: skip
        """An exchange for a request to ``url``, if that is tracked; ``message(…)`` gives its headers and body. Never raises."""
        observer = self.observer
        if observer is None or is_sending.get():
            return None
        try:
            host, port, path, query = parts(url)
            found = observer.find(method, host, port, path)
            if found is None or is_suppressed():
                return None
            headers, body = message(*args, **kwargs)
            return observer.begin(found, method, host, port, path, query, headers, body)
        except Exception as error:
            faults.report("instrumentor", error)
            return None


def parts_of_text(url: str) -> Where:
    """The parts of a URL that is text."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port, parts.path, parts.query


def is_suppressed() -> bool:
    """Whether nothing is to be instrumented here.

    An instrumentation of the model call that says so to those beneath it (Logfire) does not mean its own call, which is billed.
    """
    return bool(context_api.get_value(_SUPPRESSED)) and model_call_span(context_api.get_current()) is None


def prepare(exchange: Exchange, with_body: Callable[[bytes], T]) -> tuple[T | None, UsageHider | None]:
    """The request to send in place of the app's, made ``with_body``, and a hider if it asks for usage that the app did not.

    None where the app's is sent as it is. Never raises.
    """
    try:
        asking = exchange.asks_for_usage()
        body = asking or exchange.rewritten()
        if body is None:
            return None, None
        return with_body(body), UsageHider() if asking is not None else None
    except Exception as error:
        faults.report("usage of streams", error)
        return None, None


class sending:
    """While a request is under way: our span is the current one, and what goes wrong is the record's failure."""

    __slots__ = ("_exchange", "_mark", "_token")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None:
        span = self._exchange.request.span
        self._mark = is_sending.set(True)
        self._token = None if span is None else context_api.attach(set_span_in_context(span))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._exchange.failed(error)
        try:
            is_sending.reset(self._mark)
        except ValueError:  # whoever drives this coroutine goes on in another context, where nothing was set
            return
        if self._token is not None:
            context_api.detach(self._token)


def observes(
    function: Callable[Concatenate[Exchange, P], T],
) -> Callable[Concatenate[Exchange, P], T | None]:
    """For what reads the answer of an exchange, or has it read: whatever goes wrong there is never the app's, who gets None."""

    @functools.wraps(function)
    def guarded(exchange: Exchange, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return function(exchange, *args, **kwargs)
        except Exception as error:
            faults.report("instrumentor", error)
            exchange.give_up()
            return None

    return guarded


def lowered(headers: Any) -> dict[str, str]:
    """Headers of any client by lower-case name; a mapping, or pairs."""
    if not headers:
        return {}
    items = getattr(headers, "lower_items", None) or getattr(headers, "items", None)
    pairs = items() if items is not None else headers  # requests' own mapping is thrice as quick by lower_items
    return {
        (name if isinstance(name, str) else _text(name)).lower(): value if isinstance(value, str) else _text(value)
        for name, value in pairs
    }


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
