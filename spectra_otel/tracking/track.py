"""Calls by hand: ``track`` around instrumented or un-instrumented calls, ``start_request`` for batch flows, ``stream``.

All of them are faces of :class:`~spectra_otel.tracking.request.Request`, as the instrumentors are. None of them raises for a
reason of ours but a budget's no, and without a running host they do nothing.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from opentelemetry import context as context_api
from opentelemetry.trace import set_span_in_context

from spectra_otel import faults
from spectra_otel.budgets.book import book
from spectra_otel.errors import BudgetExceededError
from spectra_otel.model.privacy import words
from spectra_otel.providers.values import SAID_TIER, Json, Values
from spectra_otel.tracking import context
from spectra_otel.tracking.abandoned import abandoned
from spectra_otel.tracking.attribution import Attribution, attribution
from spectra_otel.tracking.chunks import AsyncChunks, Chunks, Reading
from spectra_otel.tracking.generators import tracked_async_generator, tracked_generator
from spectra_otel.tracking.reading import read_answer, read_usage
from spectra_otel.tracking.request import Request
from spectra_otel.tracking.spans import fixed_trace

if TYPE_CHECKING:
    from spectra_otel.budgets.ticket import Ticket

F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """Who and what a call is for; every one may be left out.

    ``trace_id`` (32 hex digits or a UUID) makes the call the root of that trace, linked to the span it was made in.
    ``request`` is the body that a client which is not instrumented will send: budgets reserve the most that can cost.
    """

    metadata: Mapping[str, Any] | None
    tags: Sequence[str] | str
    user: str | None
    trackable: tuple[str, Any] | None
    conversation_id: str | None
    trace_id: str | None
    pricing_tier: str | None
    request: Mapping[str, Any] | None


class TrackedCall:
    """A call that is being tracked by hand. Metadata and tags may be added until it ends."""

    def __init__(self, provider: str, model: str | None, options: Options) -> None:
        self._provider = str(provider)
        self._model = None if model is None else str(model)
        trace_id = options.pop("trace_id", None)
        self._body = options.pop("request", None)
        self.attribution = attribution(**options)  # type: ignore[misc]
        self._request = self._start(trace_id)
        self._has_answer = False
        self.is_block = False
        """Whether the code that runs now is inside its block, whose calls carry what it has."""

    def reserve(self, *, streams: bool = False) -> None:
        """Have budgets let the call through. Where they do not this raises :class:`BudgetExceededError`, and makes the record."""
        if self._asks_budgets:
            from spectra_otel.budgets import guard

            with self._refusals():
                self._hold(guard.admit_briefly(self._asked_for(), self._body, streams=streams))

    async def reserve_async(self) -> None:
        """:meth:`reserve` for code that can await."""
        if self._asks_budgets:
            from spectra_otel.budgets import guard

            with self._refusals():
                self._hold(await guard.admit_async(self._asked_for(), self._body, may_rewrite=False))

    def add_metadata(self, key: str, value: Any) -> None:
        """Add one entry; calls that start after it inside the block carry it too."""
        self._add(attribution(metadata={key: value}))

    def add_tag(self, tag: str) -> None:
        """Add one tag; calls that start after it inside the block carry it too."""
        self._add(attribution(tags=(tag,)))

    def record(self, response: Any = None, *, usage: Any = None) -> None:
        """Say what the answer was, for a client that is not instrumented: an SDK's object or a dict, or usage alone."""
        if self._request is None:
            return
        self._has_answer = True
        try:
            if response is not None:
                read_answer(response, self._request.values)
            if usage is not None:
                read_usage(usage, self._request.values)
        except Exception as error:
            faults.report("record(response)", error)

    def succeed(self) -> None:
        """The call is over: make its record."""
        self._finish({"is_failed": False})

    def fail(self, error: BaseException | str) -> None:
        """The call is over and failed; whether it was billed is not known."""
        kind = "" if isinstance(error, str) else type(error).__qualname__
        values = {"is_failed": True, "error_type": kind or "error", "error_message": words(error)}
        self._finish({**values, "cost_status": None if self._has_answer else "billed_unknown"})

    def leave(self) -> None:
        """The call is another's record: there is none of this one."""
        if self._request is not None:
            if self._request.ticket is not None:
                self._request.ticket.release()
            self._request.drop()

    def enclose(self) -> None:
        """The calls inside have records of their own: this span only holds them together."""
        if self._request is not None:
            if self._request.ticket is not None:
                self._request.ticket.release()
            try:
                self._request.finish_as_wrapper(self._attributed())
            except Exception as error:
                faults.report("track", error)

    @property
    def request(self) -> Request | None:
        """The request behind it; None where Spectra is not running."""
        return self._request

    @property
    def body(self) -> Json:
        """The request that was said to be made; empty where nothing was said."""
        return dict(self._body) if isinstance(self._body, Mapping) else {}

    @property
    def has_answer(self) -> bool:
        """Whether :meth:`record` was called."""
        return self._has_answer

    @property
    def _asks_budgets(self) -> bool:
        return self._request is not None and not book.is_idle()

    def _asked_for(self) -> Values:
        return {**self._attributed(), "provider": self._provider, "model": self._model}

    def _hold(self, ticket: Ticket | None) -> None:
        """The call was let through; one that nobody ends is charged what it must have cost at least."""
        if ticket is None or ticket.lease is None or self._request is None:
            return
        self._request.ticket = ticket
        weakref.finalize(self, abandoned.put, ticket).atexit = False
        abandoned.watch()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except BudgetExceededError as error:
            if self._request is not None:
                from spectra_otel.instrumentors.admission import record_refusal

                known = {"operation": "chat", "model_type": "text", **self._attributed()}
                record_refusal(self._request, error, known)
            raise
        except Exception as error:
            faults.report("budgets", error)

    def _add(self, more: Attribution) -> None:
        self.attribution = self.attribution.plus(more)
        if self.is_block:
            context.add_here(more)

    def _start(self, trace_id: str | None) -> Request | None:
        from spectra_otel.sdk.runtime import current_host

        host = current_host()
        if host is None or context.is_untracked():
            return None
        values: Values = {"provider": self._provider, "model": self._model}
        try:
            return Request(host, values, borrow=False, trace=fixed_trace(trace_id))
        except Exception as error:
            faults.report("track", error)
            return None

    def _attributed(self) -> Values:
        """Who it is for, here and now."""
        values = context.known_fields() | context.known().plus(self.attribution).fields()
        if "pricing_tier" in values:
            values["requested_tier"] = values["pricing_tier"]
        return values

    def _finish(self, outcome: Values) -> None:
        if self._request is None:
            return
        try:
            found = {name: value for name, value in outcome.items() if name not in self._request.values or value}
            self._request.finish(
                {"operation": "chat", "model_type": "text", **self._attributed(), **self._request.values, **found}
            )
        except Exception as error:
            faults.report("track", error)


class Track(AbstractContextManager[TrackedCall]):
    """What :func:`track` gives: a ``with`` block, an ``async with`` block, or a decorator for functions of either kind."""

    def __init__(self, provider: str, model: str | None, options: Options) -> None:
        self._provider = provider
        self._model = model
        self._options = options
        self._stack = ExitStack()

    def __enter__(self) -> TrackedCall:
        call = TrackedCall(self._provider, self._model, Options(**self._options))
        call.reserve()
        return self._enter(call)

    def _enter(self, call: TrackedCall) -> TrackedCall:
        stack = self._stack = ExitStack()
        self._call = call
        call.is_block = True
        if call.request is not None and call.request.span is not None:
            token = context_api.attach(set_span_in_context(call.request.span, call.request.context))
            stack.callback(context.detach, token)
        if call.request is not None and call.request.ticket is not None:
            stack.enter_context(context.lending(call.request.ticket))
        stack.enter_context(context.attributed(call.attribution))
        self._inside = stack.enter_context(context.counting_calls())
        self._blocks = stack.enter_context(context.noticing_blocks())
        return call

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        seen = self._inside[0]
        self._call.is_block = False
        failed = error is not None and not isinstance(error, GeneratorExit)  # who read it has enough
        try:
            if seen or not (failed or self._call.has_answer):
                self._call.enclose()
            elif error is not None and failed:
                self._call.fail(error)
            else:
                self._call.succeed()
        finally:
            self._stack.close()
        if self._blocks and error is not None:
            self._raise_block(error)

    def _raise_block(self, error: BaseException) -> None:
        """Whatever an SDK made of a budget's answer becomes our exception; one that is ours already stays."""
        from spectra_otel.budgets.answers import block_behind

        block = block_behind(error, self._blocks)
        if block is not None and block is not error:
            raise block from error

    async def __aenter__(self) -> TrackedCall:
        call = TrackedCall(self._provider, self._model, Options(**self._options))
        await call.reserve_async()
        return self._enter(call)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)

    def __call__(self, function: F) -> F:
        """Track every call of ``function``."""

        def block() -> Track:
            return Track(self._provider, self._model, self._options)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked_async(*args: Any, **kwargs: Any) -> Any:
                async with block():
                    return await function(*args, **kwargs)

            return tracked_async  # type: ignore[return-value]

        if inspect.isgeneratorfunction(function):
            return tracked_generator(function, block)  # type: ignore[return-value]
        if inspect.isasyncgenfunction(function):
            return tracked_async_generator(function, block)  # type: ignore[return-value]

        @functools.wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:
            with block():
                return function(*args, **kwargs)

        return tracked  # type: ignore[return-value]


def track(provider: str, model: str | None = None, **options: Unpack[Options]) -> Track:
    """Track what happens in a block or a function.

    Instrumented calls inside are children and records of their own that carry its user, tags, metadata and tier. Without any,
    ``record(response)`` makes the block itself the record.
    """
    return Track(provider, model, options)


def start_request(provider: str, model: str | None = None, **options: Unpack[Options]) -> TrackedCall:
    """Begin a call that ends elsewhere: in a callback, or when a batch comes back."""
    call = TrackedCall(provider, model, options)
    call.reserve()
    return call


def record_success(request: TrackedCall, response: Any = None, usage: Any = None) -> None:
    """End a call of :func:`start_request`: its usage comes from ``response``, or from ``usage`` where that is given."""
    request.record(response, usage=usage)
    request.succeed()


def record_failure(request: TrackedCall, error: BaseException | str) -> None:
    """End a call of :func:`start_request` that failed."""
    request.fail(error)


def stream(provider: str, model: str | None = None, **options: Unpack[Options]) -> StreamTracker:
    """Track a stream of chunks that the app gets from somewhere: ``for chunk in stream(...).wrap(chunks)``."""
    return StreamTracker(provider, model, options)


class StreamTracker:
    """What :func:`stream` gives: the call began when it was made."""

    def __init__(self, provider: str, model: str | None, options: Options) -> None:
        self._provider = provider
        self._options = options
        self._model = model

    def wrap(self, chunks: Any) -> Any:
        """The same chunks, sync or async as they came. They are one record, however far they are read.

        Chunks of an instrumented client are that client's record already: it gets this one's user, tags and metadata. That is
        the last stream of this provider that was begun here and is not over, or one that begins with the first chunk.
        """
        seen = context.last_request()
        if seen is not None and self._is_of(seen) and not isinstance(chunks, Sequence):
            options = {name: value for name, value in self._options.items() if name not in ("trace_id", "request")}
            said = attribution(**options).fields()  # type: ignore[arg-type]
            context.attribute(seen.values, said)
            if "pricing_tier" in said:
                seen.values[SAID_TIER] = said["pricing_tier"]
            return chunks
        call = TrackedCall(self._provider, self._model, Options(**self._options))
        call.reserve(streams=True)
        reading = Reading(call)
        return AsyncChunks(chunks, reading) if isinstance(chunks, AsyncIterable) else Chunks(chunks, reading)

    def _is_of(self, request: Request) -> bool:
        values = request.values
        return bool(values.get("is_streaming")) and not request.is_finished and values.get("provider") == self._provider
