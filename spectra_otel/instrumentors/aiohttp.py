"""aiohttp's client: ``ClientSession._request``, through which every method goes; the body is read from ``response.content``."""

from __future__ import annotations

import asyncio
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
    given = kwargs.get("headers")
    if given and "content-length" in patching.lowered(given):  # the client finds the new one by itself
        items = given.items() if hasattr(given, "items") else given
        kwargs = {
            **kwargs,
            "headers": [(name, value) for name, value in items if str(name).lower() != "content-length"],
        }
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

    _left = b""
    """What the tap let go, and the app has not asked for yet."""

    def __getattr__(self, name: str) -> Any:
        if name == "_source":  # a copy that was never made
            raise AttributeError(name)
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
        return await self._piece(self._source.read, n, at_most=n)

    async def _all(self) -> bytes:
        """What ``StreamReader.read()`` does, so that what came is known where the reader is cancelled."""
        unlimited = getattr(self._source, "set_read_chunk_size", None)
        if unlimited is not None:
            unlimited(sys.maxsize)
        return b"".join([piece async for piece in self.iter_any()])

    async def readany(self) -> bytes:
        return await self._piece(self._source.readany)

    async def readline(self, **options: Any) -> bytes:
        return await self._piece(self._source.readline, up_to=b"\n", **options)

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        return await self._piece(self._source.readuntil, separator, up_to=separator, **options)

    async def readexactly(self, n: int) -> bytes:
        pieces: list[bytes] = []
        while n > 0:
            piece = await self.read(n)
            if not piece:
                partial = b"".join(pieces)
                raise asyncio.IncompleteReadError(partial, len(partial) + n)
            pieces.append(piece)
            n -= len(piece)
        return b"".join(pieces)

    async def readchunk(self) -> tuple[bytes, bool]:
        ended = False

        async def read() -> bytes:
            nonlocal ended
            piece, ended = await self._source.readchunk()
            return piece  # type: ignore[no-any-return]

        return await self._piece(read), ended

    def read_nowait(self, n: int = -1) -> bytes:
        if not self._left:
            piece: bytes = self._source.read_nowait(n)
            self._left = self._tap.feed(piece) if piece else piece
        return self._given(n)

    def at_eof(self) -> bool:
        """Whether there is nothing more to read, not even what the tap keeps back."""
        return bool(self._source.at_eof()) and not self._left and not self._tap.keeps_back()

    def set_exception(self, *args: Any) -> None:
        """How the response says that it is closed."""
        self._source.set_exception(*args)
        self._tap.close()

    async def _piece(
        self, read: Callable[..., Awaitable[bytes]], *args: Any, at_most: int = -1, up_to: bytes = b"", **options: Any
    ) -> bytes:
        while not self._left:
            try:
                piece = await read(*args, **options)
            except BaseException as error:
                self._tap.broke(error)
                raise
            if not piece:
                self._left = self._tap.end()
                break
            self._left = self._tap.feed(piece)
        return self._given(at_most, up_to)

    def _given(self, at_most: int = -1, up_to: bytes = b"") -> bytes:
        """What the app asked for of what the tap let go, which may be an event at once."""
        left = self._left
        end = len(left) if at_most < 0 else at_most
        if up_to and up_to in left:
            end = left.index(up_to) + len(up_to)
        self._left = left[end:]
        return left[:end]


_instrumentor = patching.Instrumentor(
    lambda patches, module: patches.wrap(module.ClientSession, "_request", _request), "aiohttp"
)
install, uninstall = _instrumentor.install, _instrumentor.uninstall
