"""``httpx`` and ``httpx2``: ``Client.send`` and ``AsyncClient.send``, whatever transport is beneath.

Every current AI SDK sends through one of the two. ``send`` is the place where one attempt of the SDK is one call, where hooks
and transports of the app's own still come after us, and where HTTP spans of other instrumentations nest beneath ours.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry.trace import set_span_in_context

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.bodies import form_value
from spectra_otel.instrumentors.exchange import Exchange, Observer
from spectra_otel.instrumentors.streams import Decompressor, Tap, UsageHider
from spectra_otel.providers.base import Json

if TYPE_CHECKING:
    from spectra_otel.instrumentors.admission import Blocked

MODULES = ("httpx", "httpx2")
_patched: dict[str, list[tuple[type, Any, Any]]] = {}
"""Module → (class, its own ``send``, ours)."""
_observer: Observer | None = None


def install(observer: Observer) -> None:
    """Observe the clients of those of the two modules that are imported."""
    global _observer
    _observer = observer
    for name in MODULES:
        if name in sys.modules and name not in _patched:
            try:
                _patch(sys.modules[name])
            except Exception as error:
                faults.report(f"instrumentor {name}", error)


def uninstall() -> None:
    """Leave the clients as they were. Where somebody wrapped ``send`` after us, ours stays beneath and passes on."""
    global _observer
    _observer = None
    for name, classes in list(_patched.items()):
        if all(owner.__dict__.get("send") is ours for owner, _, ours in classes):
            for owner, original, _ in classes:
                owner.send = original  # type: ignore[attr-defined]
            del _patched[name]


def _patch(module: ModuleType) -> None:
    kit = _Kit(module)
    plain, awaited = module.Client.send, module.AsyncClient.send

    @functools.wraps(plain)
    def send(client: Any, *args: Any, **kwargs: Any) -> Any:
        return kit.send(functools.partial(plain, client), args, kwargs)

    @functools.wraps(awaited)
    async def asend(client: Any, *args: Any, **kwargs: Any) -> Any:
        return await kit.asend(functools.partial(awaited, client), args, kwargs)

    _patched[module.__name__] = [(module.Client, plain, send), (module.AsyncClient, awaited, asend)]
    module.Client.send = send
    module.AsyncClient.send = asend


class _Kit:
    """The two wrappers for one of the modules, and its stream classes with a tap in them."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._sync_stream, self._async_stream = _sync_stream(module), _async_stream(module)
        self._identity = module._decoders.IdentityDecoder

    def send(self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In place of ``Client.send``."""
        exchange = self._begin(args, kwargs)
        if exchange is None:
            return wrapped(*args, **kwargs)
        blocked = exchange.admit()
        if blocked is not None:
            return self._answer(blocked, args, kwargs)
        request, args, kwargs, hider, streams = self._prepare(exchange, args, kwargs)
        token = _enter(exchange)
        try:
            response = wrapped(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            _leave(token)
        if self._observe(exchange, response, request, hider, streams or hider is not None) and not streams:
            response.read()
        return response

    async def asend(self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In place of ``AsyncClient.send``."""
        exchange = self._begin(args, kwargs)
        if exchange is None:
            return await wrapped(*args, **kwargs)
        blocked = await exchange.admit_async()
        if blocked is not None:
            return self._answer(blocked, args, kwargs)
        request, args, kwargs, hider, streams = self._prepare(exchange, args, kwargs)
        token = _enter(exchange)
        try:
            response = await wrapped(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            _leave(token)
        if self._observe(exchange, response, request, hider, streams or hider is not None) and not streams:
            await response.aread()
        return response

    def _answer(self, blocked: Blocked, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A response that no provider sent."""
        request = args[0] if args else kwargs["request"]
        response = self._module.Response(blocked.status, headers=blocked.headers, content=blocked.body, request=request)
        response.elapsed = timedelta(0)
        return response

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
        observer = _observer
        request = args[0] if args else kwargs.get("request")
        if observer is None or request is None or patching.is_sending.get():
            return None
        try:
            url, method = request.url, request.method
            host, port = url.raw_host.decode("ascii"), url.port
            # Not url.path, which has the %2F of a model's name decoded.
            path = url.raw_path.decode("ascii", "replace").partition("?")[0]
            found = observer.find(method, host, port, path)
            if found is None or patching.is_suppressed():
                return None
            query = url.query.decode("ascii", "replace")
            return observer.begin(found, method, host, port, path, query, _headers(request), _body(request))
        except Exception as error:
            faults.report("instrumentor", error)
            return None

    def _prepare(
        self, exchange: Exchange, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any], UsageHider | None, bool]:
        """The request as the app made it, the arguments to send with, and a hider if they ask for usage the app did not."""
        request = args[0] if args else kwargs["request"]
        streams = bool(kwargs.get("stream"))
        try:
            asking_body = exchange.asks_for_usage()
            body = asking_body or exchange.rewritten()
            if body is None:
                return request, args, kwargs, None, streams
            headers = request.headers.copy()
            headers["content-length"] = str(len(body))
            asking = self._module.Request(
                request.method, request.url, headers=headers, content=body, extensions=request.extensions
            )
            hider = None
            if asking_body is not None:
                hider, kwargs = UsageHider(), {**kwargs, "stream": True}
            if args:
                return request, (asking, *args[1:]), kwargs, hider, streams
            return request, args, {**kwargs, "request": asking}, hider, streams
        except Exception as error:
            faults.report("usage of streams", error)
            return request, args, kwargs, None, streams

    def _observe(self, exchange: Exchange, response: Any, request: Any, hider: UsageHider | None, tapped: bool) -> bool:
        """Read the answer, or have it read while the app does; True if it is tapped. Raises nothing."""
        try:
            headers = _headers(response)
            exchange.answered(response.status_code, headers)
            content_type = headers.get("content-type", "").lower()
            if hider is not None:
                response.request = request
            if not tapped or hasattr(response, "_content"):
                exchange.whole(response.content, content_type)
                if hider is not None:
                    response._content = hider.feed(response.content) + hider.rest()
                return False
            decompress = self._decompressor(headers)
            if hider is not None and decompress is not None:
                # The app's body loses a chunk, so it is handed on decompressed; its headers stay as they came.
                response._decoder = self._identity()
            tap = exchange.tap(content_type, decompress, hider)
            tapped_stream = (
                self._sync_stream if isinstance(response.stream, self._module.SyncByteStream) else self._async_stream
            )
            response.stream = tapped_stream(response.stream, tap)
            return True
        except Exception as error:
            faults.report("instrumentor", error)
            exchange.give_up()
            return False

    def _decompressor(self, headers: dict[str, str]) -> Decompressor | None:
        """A decoder of our own for the response's content encoding; None where there is none."""
        encoding = headers.get("content-encoding")
        if not encoding or encoding == "identity":
            return None
        twin = self._module.Response(200, headers={"content-encoding": encoding}, stream=self._module.ByteStream(b""))
        decoder = twin._get_content_decoder()
        return lambda piece: _joined(decoder.decode(piece))


def _joined(decoded: Any) -> bytes:
    return decoded if isinstance(decoded, bytes) else b"".join(decoded)


def _enter(exchange: Exchange) -> tuple[Any, Any]:
    """Make our span the current one while the request is under way; a client within the transport is part of this call."""
    span = exchange.request.span
    mark = patching.is_sending.set(True)
    return mark, None if span is None else context_api.attach(set_span_in_context(span))


def _leave(token: tuple[Any, Any]) -> None:
    mark, attached = token
    patching.is_sending.reset(mark)
    if attached is not None:
        context_api.detach(attached)


def _headers(message: Any) -> dict[str, str]:
    """Headers of a request or response by lower-case name: a look-up in httpx's own mapping takes as long as this for all."""
    return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in message.headers.raw}


def _body(request: Any) -> bytes | Json | None:
    """The body of a request when it is in memory; the fields of a form that is not."""
    body: bytes | None = getattr(request, "_content", None)
    if body is not None:
        return body
    fields = getattr(request.stream, "fields", None)
    if fields is None:
        return None
    return {field.name: form_value(getattr(field, "value", getattr(field, "file", None))) for field in fields}


# A stream with a tap in it: one that is never iterated, or let go in the middle, is noticed by weakref.finalize. The tap knows
# by itself whether it is done, so that an end, a fault and a close may all tell it.


def _sync_stream(module: ModuleType) -> type:
    """A response stream of ``module`` that hands each piece to a tap."""

    class Stream(module.SyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, source: Any, tap: Tap) -> None:
            self._source = source
            self._tap = tap
            weakref.finalize(self, tap.abandon).atexit = False

        def __iter__(self) -> Iterator[bytes]:
            feed = self._tap.feed
            try:
                for piece in self._source:
                    yield feed(piece)
            except BudgetExceededError:
                self._source.close()
                raise
            except GeneratorExit:  # let go of, or about to be closed
                raise
            except BaseException as error:
                self._tap.broke(error)
                raise
            if rest := self._tap.end():
                yield rest

        def close(self) -> None:
            try:
                self._source.close()
            finally:
                self._tap.close()

    return Stream


def _async_stream(module: ModuleType) -> type:
    """The same for async clients."""

    class AsyncStream(module.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, source: Any, tap: Tap) -> None:
            self._source = source
            self._tap = tap
            weakref.finalize(self, tap.abandon).atexit = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            feed = self._tap.feed
            try:
                async for piece in self._source:
                    yield feed(piece)
            except BudgetExceededError:
                await self._source.aclose()
                raise
            except GeneratorExit:
                raise
            except BaseException as error:
                self._tap.broke(error)
                raise
            if rest := self._tap.end():
                yield rest

        async def aclose(self) -> None:
            try:
                await self._source.aclose()
            finally:
                self._tap.close()

    return AsyncStream
