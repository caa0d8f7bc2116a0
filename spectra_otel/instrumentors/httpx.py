"""``httpx`` and ``httpx2``: ``Client.send`` and ``AsyncClient.send``, whatever transport is beneath.

Every current AI SDK sends through one of the two. ``send`` is the place where one attempt of the SDK is one call, where hooks
and transports of the app's own still come after us, and where HTTP spans of other instrumentations nest beneath ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import BudgetExceededError
from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.bodies import form_value
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.streams import Decompressor, Tapped, UsageHider

if TYPE_CHECKING:
    from spectra_otel.instrumentors.admission import Blocked


def _patch(patches: patching.Patches, module: ModuleType) -> None:
    kit = _Kit(module)
    patches.wrap(module.Client, "send", kit.send)
    patches.wrap(module.AsyncClient, "send", kit.asend)


_instrumentor = patching.Instrumentor(_patch, "httpx", "httpx2")
install, uninstall = _instrumentor.install, _instrumentor.uninstall


@dataclass(slots=True)
class _Call:
    """One call of ``send``: the app's request and arguments, and what is sent in place of them."""

    request: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    streams: bool
    hider: UsageHider | None = None


class _Kit:
    """The two wrappers for one of the modules, and its stream classes with a tap in them."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._sync_stream, self._async_stream = _sync_stream(module), _async_stream(module)

    def send(self, send: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In place of ``Client.send``."""
        request = args[0] if args else kwargs.get("request")
        exchange = _begin(request)
        if exchange is None:
            return send(*args, **kwargs)
        blocked = exchange.admit()
        if blocked is not None:
            return self._answer(blocked, request)
        call = self._prepare(exchange, request, args, kwargs)
        with patching.sending(exchange):
            response = send(*call.args, **call.kwargs)
        _observe(exchange, self, response, call)
        if call.hider is not None and not call.streams:
            try:
                response.read()
            except BaseException:  # as the client does where it reads
                response.close()
                raise
        return response

    async def asend(self, send: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In place of ``AsyncClient.send``."""
        request = args[0] if args else kwargs.get("request")
        exchange = _begin(request)
        if exchange is None:
            return await send(*args, **kwargs)
        blocked = await exchange.admit_async()
        if blocked is not None:
            return self._answer(blocked, request)
        call = self._prepare(exchange, request, args, kwargs)
        with patching.sending(exchange):
            response = await send(*call.args, **call.kwargs)
        _observe(exchange, self, response, call)
        if call.hider is not None and not call.streams:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    def _answer(self, blocked: Blocked, request: Any) -> Any:
        """A response that no provider sent."""
        response = self._module.Response(blocked.status, headers=blocked.headers, content=blocked.body, request=request)
        response.elapsed = timedelta(0)
        return response

    def _prepare(self, exchange: Exchange, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        """The call as it is made. One with a hider is streamed, for that is how the hider gets to see it."""
        call = _Call(request, args, kwargs, bool(kwargs.get("stream")))
        asking, call.hider = patching.prepare(exchange, lambda body: self._with_body(request, body))
        if asking is not None:
            call.args = (asking, *args[1:])
            call.kwargs = {name: value for name, value in kwargs.items() if name != "request"}
        if call.hider is not None:
            call.kwargs["stream"] = True
        return call

    def _with_body(self, request: Any, body: bytes) -> Any:
        headers = request.headers.copy()
        if "transfer-encoding" not in headers:
            headers["content-length"] = str(len(body))
        return self._module.Request(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )

    def tap(self, exchange: Exchange, response: Any, headers: Headers, hider: UsageHider | None) -> None:
        """Have the body read while the app does."""
        decompress = self._decompressor(headers)
        if hider is not None:  # the app's body loses a chunk, so it is handed on decompressed, and of no known length
            for name in {"content-encoding", "content-length"} & headers.keys():
                del response.headers[name]
        tap = exchange.tap(headers.get("content-type", "").lower(), decompress, hider)
        is_sync = isinstance(response.stream, self._module.SyncByteStream)
        response.stream = (self._sync_stream if is_sync else self._async_stream)(response.stream, tap)

    def _decompressor(self, headers: Headers) -> Decompressor | None:
        """A decoder of our own for the response's content encoding; None where there is none."""
        encoding = headers.get("content-encoding")
        if not encoding or encoding == "identity":
            return None
        twin = self._module.Response(200, headers={"content-encoding": encoding}, stream=self._module.ByteStream(b""))
        decoder = twin._get_content_decoder()
        return lambda piece: _joined(decoder.decode(piece))


def _joined(decoded: Any) -> bytes:
    return decoded if isinstance(decoded, bytes) else b"".join(decoded)


def _begin(request: Any) -> Exchange | None:
    return None if request is None else _instrumentor.begin(request.method, request.url, _parts, _message, request)


def _parts(url: Any) -> patching.Where:
    # Not url.path, which has the %2F of a model's name decoded.
    path, _, query = url.raw_path.decode("ascii", "replace").partition("?")
    return url.raw_host.decode("ascii"), url.port, path, query


def _message(request: Any) -> tuple[Headers, Body]:
    return _headers(request), _body(request)


@patching.observes
def _observe(exchange: Exchange, kit: _Kit, response: Any, call: _Call) -> None:
    """Read the answer, or have it read while the app does."""
    headers = _headers(response)
    exchange.answered(response.status_code, headers)
    if call.hider is not None:
        _hide_asking(call, response)
    if call.kwargs.get("stream") and not hasattr(response, "_content"):
        kit.tap(exchange, response, headers, call.hider)
        return
    exchange.whole(response.content, headers.get("content-type", "").lower())
    if call.hider is not None:
        response._content = call.hider.feed(response.content) + call.hider.rest()


def _hide_asking(call: _Call, response: Any) -> None:
    """The app's own request where ours was sent, with what an ``auth`` put on it. One that a redirect led to is the client's."""
    ours = call.args[0]
    for answer in (*response.history, response):
        if answer.request is ours:
            length = call.request.headers.get("content-length")
            call.request.headers = ours.headers.copy()
            if length is not None:
                call.request.headers["content-length"] = length
            answer.request = call.request


def _headers(message: Any) -> Headers:
    """Headers of a request or response by lower-case name: a look-up in httpx's own mapping takes as long as this for all."""
    headers = message.headers
    try:
        items = headers._list  # which has the names in lower case, too
    except AttributeError:
        items = [(name, name.lower(), value) for name, value in headers.raw]
    return {name.decode("latin-1"): value.decode("latin-1") for _, name, value in items}


def _body(request: Any) -> Body:
    """The body of a request when it is in memory; the fields of a form that is not."""
    body: bytes | None = getattr(request, "_content", None)
    if body is not None:
        return body
    fields = getattr(request.stream, "fields", None)
    if fields is None:
        return None
    return {field.name: form_value(getattr(field, "value", getattr(field, "file", None))) for field in fields}


def _sync_stream(module: ModuleType) -> type:
    """A response stream of ``module`` that hands each piece to a tap."""

    class Stream(Tapped, module.SyncByteStream):  # type: ignore[name-defined,misc]
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

    class AsyncStream(Tapped, module.AsyncByteStream):  # type: ignore[name-defined,misc]
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
