"""aiohttp's client: ``ClientSession._request``, through which every method goes; the body is read from ``response.content``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import orjson

from spectra_otel.instrumentors import patching
from spectra_otel.instrumentors.bodies import form_value
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.streams import Tapped, UsageHider


async def _request(
    send: Callable[..., Awaitable[Any]], session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """In place of ``ClientSession._request(method, url, …)``."""
    exchange = _begin(session, args, kwargs)
    if exchange is None:
        return await send(*args, **kwargs)
    blocked = await exchange.admit_async()
    if blocked is not None:  # a synthetic answer would need a connection
        raise blocked.error
    asking, hider = patching.prepare(exchange, lambda body: _with_body(kwargs, body))
    with patching.sending(exchange):
        response = await send(*args, **(asking or kwargs))
    _observe(exchange, session, response, hider)
    return response


def _begin(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    if len(args) < 2:
        return None
    try:
        url = session._build_url(args[1])
    except Exception:
        return None  # the client itself will say what is wrong with it
    return _instrumentor.begin(str(args[0]).upper(), url, _parts, _message, session, kwargs)


def _parts(url: Any) -> patching.Where:
    return url.raw_host or "", url.explicit_port, url.raw_path, url.raw_query_string


def _message(session: Any, kwargs: dict[str, Any]) -> tuple[Headers, Body]:
    headers = patching.lowered(session.headers) | patching.lowered(kwargs.get("headers"))
    if kwargs.get("json") is not None:
        headers.setdefault("content-type", "application/json")
        return headers, _serialized(session, kwargs["json"])
    data = kwargs.get("data")
    if isinstance(data, str):
        return headers, data.encode()
    if data is None or isinstance(data, bytes):
        return headers, data
    if isinstance(data, dict):
        return headers, {name: form_value(value) for name, value in data.items()}
    fields = getattr(data, "_fields", None)  # a FormData
    if fields is not None:
        return headers, {options.get("name", ""): form_value(value) for options, _, value in fields}
    return headers, None


def _serialized(session: Any, value: Any) -> bytes:
    """The JSON that will be sent, for us to read: by the session's own serializer where ours does not know a type in it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        body: str | bytes = session._json_serialize(value)
        return body.encode() if isinstance(body, str) else body


def _with_body(kwargs: dict[str, Any], body: bytes) -> dict[str, Any]:
    if kwargs.get("json") is not None:
        return {**kwargs, "json": orjson.loads(body)}
    return {**kwargs, "data": body}


@patching.observes
def _observe(exchange: Exchange, session: Any, response: Any, hider: UsageHider | None) -> None:
    """Have the answer read while the app does."""
    headers = patching.lowered(response.headers)
    exchange.answered(response.status, headers)
    content_type = headers.get("content-type", "").lower()
    if response._body is not None:  # a middleware of the app's has read it
        exchange.whole(response._body, content_type)
    elif headers.get("content-encoding", "identity") in ("", "identity") or session.auto_decompress:
        response.content = TappedContent(response.content, exchange.tap(content_type, None, hider))
    else:
        exchange.give_up()


T = TypeVar("T")


class _Pieces(Generic[T]):
    """What ``read`` gives, until ``is_end`` of it."""

    def __init__(self, read: Callable[[], Awaitable[T]], is_end: Callable[[T], bool]) -> None:
        self._read = read
        self._is_end = is_end

    def __aiter__(self) -> _Pieces[T]:
        return self

    async def __anext__(self) -> T:
        piece = await self._read()
        if self._is_end(piece):
            raise StopAsyncIteration
        return piece


def _is_end(piece: bytes) -> bool:
    return not piece


class TappedContent(Tapped):
    """Stands in for a ``StreamReader``; every piece that is read of it goes through the tap."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __aiter__(self) -> _Pieces[bytes]:
        return _Pieces(self.readline, _is_end)

    def iter_chunked(self, n: int) -> _Pieces[bytes]:
        """Pieces of at most ``n`` bytes."""
        return _Pieces(functools.partial(self.read, n), _is_end)

    def iter_any(self) -> _Pieces[bytes]:
        """Pieces as they come."""
        return _Pieces(self.readany, _is_end)

    def iter_chunks(self) -> _Pieces[tuple[bytes, bool]]:
        """Pieces, and whether each ends a chunk of the transfer."""
        return _Pieces(self.readchunk, lambda found: found == (b"", False))

    async def read(self, n: int = -1) -> bytes:
        if n == 0:
            return b""
        if n < 0:
            return await self._all()
        return await self._piece(self._source.read, n)

    async def _all(self) -> bytes:
        """What ``StreamReader.read()`` does, so that what came is known where the reader is cancelled."""
        unlimited = getattr(self._source, "set_read_chunk_size", None)
        if unlimited is not None:
            unlimited(sys.maxsize)
        return b"".join([piece async for piece in self.iter_any()])

    async def readany(self) -> bytes:
        return await self._piece(self._source.readany)

    async def readline(self, **options: Any) -> bytes:
        return await self._piece(self._source.readline, **options)

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        return await self._piece(self._source.readuntil, separator, **options)

    async def readexactly(self, n: int) -> bytes:
        return await self._piece(self._source.readexactly, n)

    async def readchunk(self) -> tuple[bytes, bool]:
        ended = False

        async def read() -> bytes:
            nonlocal ended
            piece, ended = await self._source.readchunk()
            return piece  # type: ignore[no-any-return]

        return await self._piece(read), ended

    def read_nowait(self, n: int = -1) -> bytes:
        piece: bytes = self._source.read_nowait(n)
        return self._tap.feed(piece) if piece else piece

    def set_exception(self, *args: Any) -> None:
        """How the response says that it is closed."""
        self._source.set_exception(*args)
        self._tap.close()

    async def _piece(self, read: Callable[..., Awaitable[bytes]], *args: Any, **options: Any) -> bytes:
        while True:
            try:
                piece = await read(*args, **options)
            except BaseException as error:
                self._tap.broke(error)
                raise
            if not piece:
                return self._tap.end()
            shown = self._tap.feed(piece)
            if shown:
                return shown


_instrumentor = patching.Instrumentor(
    lambda patches, module: patches.wrap(module.ClientSession, "_request", _request), "aiohttp"
)
install, uninstall = _instrumentor.install, _instrumentor.uninstall
