"""Events: ``@spectra_otel.on(RequestTracked)`` and the like.

Listeners run on a worker thread, in the order they were registered. What one raises is reported once and stops neither the others
nor the application.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any, TypeVar

from spectra_otel import faults
from spectra_otel.model.record import TrackedRequest
from spectra_otel.sdk.transformer import transformed, use_transformer


@dataclass(frozen=True, slots=True)
class RequestTracked:
    """A call was recorded: once per record, in the process that made it, after the record is on disk.

    ``request`` is the record as the request transformer left it.
    """

    request: TrackedRequest


@dataclass(frozen=True, slots=True)
class BudgetThresholdReached:
    """A budget crossed one of its thresholds.

    ``name`` of the budget; ``scope`` attribute → value of the bucket; ``threshold`` as a fraction of ``limit``; ``spent`` and
    ``limit`` in ``unit`` (``cents``, ``tokens`` or ``requests``); ``resets_at`` in UTC, None where the window never ends.
    """

    name: str
    threshold: float
    spent: Decimal | int
    limit: Decimal | int
    unit: str = "cents"
    scope: Mapping[str, str] = field(default_factory=dict)
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BudgetExceeded:
    """A budget had no room for a call; ``blocked`` says whether the call was stopped. Other fields as in
    :class:`BudgetThresholdReached`."""

    name: str
    spent: Decimal | int
    limit: Decimal | int
    unit: str = "cents"
    scope: Mapping[str, str] = field(default_factory=dict)
    resets_at: datetime | None = None
    blocked: bool = False


E = TypeVar("E", RequestTracked, BudgetThresholdReached, BudgetExceeded)
L = TypeVar("L", bound=Callable[..., Any])

_EVENTS = (RequestTracked, BudgetThresholdReached, BudgetExceeded)
_lock = Lock()
_listeners: dict[type, tuple[Callable[[Any], object], ...]] = dict.fromkeys(_EVENTS, ())


def on(event: type[E]) -> Callable[[L], L]:
    """Register a listener: a callable that takes the event. Gives it back, so it serves as a decorator.

    Raises:
        TypeError: ``event`` is not an event type, or the listener is a coroutine function, which nobody would await.
    """
    if event not in _listeners:
        raise TypeError(f"on(): got {event!r}, valid: {', '.join(known.__name__ for known in _EVENTS)}")

    def register(listener: L) -> L:
        if inspect.iscoroutinefunction(listener):
            raise TypeError(f"on({event.__name__}): {listener!r} is a coroutine function; give a plain function")
        with _lock:
            _listeners[event] = (*_listeners[event], listener)
        return listener

    return register


def off(listener: Callable[..., Any]) -> None:
    """Take a listener away from every event it listens to."""
    with _lock:
        for event, listeners in _listeners.items():
            _listeners[event] = tuple(known for known in listeners if known is not listener)


def dispatch(event: RequestTracked | BudgetThresholdReached | BudgetExceeded) -> None:
    """Call the listeners of ``event``. Never raises."""
    for listener in _listeners[type(event)]:
        try:
            listener(event)
        except (Exception, SystemExit) as error:  # exit() there would end our worker, or whoever flushes
            name = getattr(listener, "__qualname__", type(listener).__qualname__)
            faults.report(f"listener {name} of {type(event).__name__}", error)


def announcer(request_transformer: str | None) -> Callable[[TrackedRequest], None]:
    """What a host calls for each new record, once it is on disk.

    ``request_transformer`` (``package.module:Class``) becomes the transformer of the process.
    """
    use_transformer(request_transformer)

    def announce(record: TrackedRequest) -> None:
        if _listeners[RequestTracked]:
            dispatch(RequestTracked(transformed(record)))

    return announce
