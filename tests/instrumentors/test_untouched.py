"""What apps do with a response, and ask of a request, beyond reading it: done with us and without, it comes to the same."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import gzip
import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from tests.instrumentors.servers import Handler, serving
from tests.recording import Recorder, recording

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
BODY = json.dumps({"id": "c1", "model": "gpt-4o-2024-08-06", "usage": USAGE,
                   "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}).encode()  # fmt: skip
EVENTS = [
    b'data: {"id": "c1", "choices": [{"delta": {"content": "x"}, "finish_reason": null}]}\n\n',
    b'event: part\ndata: {"id": "c1", "choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n',
]
COUNTS = b'data: {"id": "c1", "choices": [], "usage": %s}\n\n' % json.dumps(USAGE).encode()
PATH = "/v1/chat/completions"


def answer(handler: Handler, body: bytes) -> None:
    """As OpenAI does, compressed where the app says so; moved, and refused."""
    if handler.path.startswith("/moved"):
        handler.whole(b"", 307, location=PATH)
        return
    if handler.path.startswith("/refused"):
        handler.whole(b'{"error": {"message": "slow down"}}', 429, content_type="application/json")
        return
    asked = json.loads(body)
    plain, kind = BODY, "application/json"
    if asked.get("stream"):
        has_usage = (asked.get("stream_options") or {}).get("include_usage")
        plain, kind = b"".join([*EVENTS, *([COUNTS] if has_usage else []), b"data: [DONE]\n\n"]), "text/event-stream"
    if handler.headers.get("x-squeeze"):
        handler.whole(gzip.compress(plain), content_type=kind, content_encoding="gzip")
    else:
        handler.pieces([plain[at : at + 50] for at in range(0, len(plain), 50)], content_type=kind)


@pytest.fixture
def both(monkeypatch, tmp_path) -> Iterator[Callable[[Callable[[str], Any]], Recorder]]:
    """Do something at the server without us and with us; it must come to the same. Gives what was recorded."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    with serving(answer) as server:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}=openai")

        def both(use: Callable[[str], Any]) -> Recorder:
            bare = use(f"http://{server.host}")
            with recording() as recorder:
                observed = use(f"http://{server.host}")
                recorder.settle()
            assert observed == bare
            return recorder

        yield both


# -- requests: what is done with `response.raw` ------------------------------------------------------------------------


def raw_of(url: str, body: dict[str, Any] = ASK, **headers: str) -> Any:
    return requests.post(url + PATH, json=body, headers=headers, stream=True, timeout=10).raw


def copied_to_a_file(url: str, body: dict[str, Any]) -> bytes:
    raw, file = raw_of(url, body, **{"x-squeeze": "1"}), io.BytesIO()
    raw.decode_content = True
    shutil.copyfileobj(raw, file)
    return file.getvalue()


def in_a_with_block(url: str, body: dict[str, Any]) -> bytes:
    with raw_of(url, body) as raw:
        return raw.read()  # type: ignore[no-any-return]


def as_a_buffer(url: str, body: dict[str, Any]) -> bytes:
    return io.BufferedReader(raw_of(url, body), buffer_size=16).read()


def by_lines(url: str, body: dict[str, Any]) -> list[bytes]:
    raw = raw_of(url, body)
    return list(iter(raw.readline, b""))


def by_few_bytes(url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    raw = raw_of(url, body)
    pieces = list(iter(lambda: raw.read(10), b""))
    return max(map(len, pieces)), b"".join(pieces)


def by_chunks(url: str, body: dict[str, Any]) -> bytes:
    return b"".join(raw_of(url, body).read_chunked())


RAW = [copied_to_a_file, in_a_with_block, as_a_buffer, by_lines, by_few_bytes, by_chunks]


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("use", RAW)
def test_the_raw_response_of_requests_can_all_that_it_could(use, body, both):
    """It is the very object of urllib3, whatever way it is read, and its record says what was used."""
    recorder = both(lambda url: use(url, body))
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)


def test_the_raw_response_of_requests_is_what_it_was(both):
    """An app may ask for its class."""
    both(lambda url: (isinstance(raw_of(url), urllib3.HTTPResponse), isinstance(raw_of(url), io.IOBase)))


class InMemory(BaseAdapter):
    """Answers by itself, with a raw response that is no urllib3's."""

    def send(self, request: Any, **_: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response.headers["content-type"] = "application/json"
        response.raw = io.BytesIO(BODY)
        return response

    def close(self) -> None:
        pass


def test_an_adapters_own_raw_response_is_read_as_it_is(both):
    """It has no ``stream``; requests asks whether it has."""

    def use(url: str) -> Any:
        with requests.Session() as session:
            session.mount(url, InMemory())
            ask = [session.post(url + PATH, json=ASK, stream=True, timeout=10) for _ in range(3)]
            with ask[1].raw as raw:
                return b"".join(ask[0].iter_content(7)), raw.read(), list(ask[2].raw)

    recorder = both(use)
    assert [record["prompt_tokens"] for record in recorder.records] == [12, 12, 12]


# -- aiohttp: what is done with `response.content` ---------------------------------------------------------------------


def in_aiohttp(use: Callable[[aiohttp.StreamReader], Awaitable[Any]]) -> Callable[[str], Any]:
    async def call(url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, json=STREAM) as response:
            return await use(response.content)

    return lambda url: asyncio.run(call(url))


async def lines(content: aiohttp.StreamReader) -> list[bytes]:
    return [line async for line in content]


async def lines_until_the_end(content: aiohttp.StreamReader) -> list[bytes]:
    found = []
    while not content.at_eof():
        found.append(await content.readline())
    return [line for line in found if line]  # the end of the body may come after its last line


async def exactly(content: aiohttp.StreamReader) -> list[bytes]:
    return [
        await content.readexactly(20),
        await content.readuntil(b"choices"),
        await content.read(3),
        await content.read(),
    ]


async def too_much(content: aiohttp.StreamReader) -> int:
    try:
        await content.readexactly(100_000)
    except asyncio.IncompleteReadError as error:
        return len(error.partial)
    return -1


async def small_pieces(content: aiohttp.StreamReader) -> tuple[int, bytes]:
    pieces = [piece async for piece in content.iter_chunked(16)]
    return max(map(len, pieces)), b"".join(pieces)


@pytest.mark.parametrize("use", [lines, lines_until_the_end, exactly, too_much, small_pieces])
def test_a_stream_of_aiohttp_is_cut_as_the_app_asks(use, both):
    """A line is a line, and n bytes are n bytes, also where an event waited for its end."""
    recorder = both(in_aiohttp(use))
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)


# -- what is asked of a request ----------------------------------------------------------------------------------------


def test_a_length_that_the_app_gave_is_not_sent_with_another_body(both):
    """aiohttp believes the app's header, whether it comes in a mapping or in pairs."""
    body = json.dumps(STREAM).encode()

    async def call(url: str, headers: Any) -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, data=body, headers=headers) as response:
            return await response.read()

    given = {"content-type": "application/json", "Content-Length": str(len(body))}
    for headers in (given, list(given.items())):
        recorder = both(lambda url, headers=headers: asyncio.run(call(url, headers)))
        assert recorder.only["prompt_tokens"] == 12


def test_a_signed_body_is_sent_as_it_was_signed(both):
    """Nobody asks for usage then, for the digest would be another."""
    body = json.dumps(STREAM).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    for headers in ({"digest": f"SHA-256={digest}"}, {"x-acme-hmac": digest}, {"authorization": "Signature keyId=1"}):
        recorder = both(lambda url, h=headers: requests.post(url + PATH, data=body, headers=h, timeout=10).content)
        assert recorder.only.get("prompt_tokens") is None or recorder.only.get("cost_status") == "estimated"


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_the_request_of_a_response_is_the_apps(module, both):
    """With what an ``auth`` put on it; after a redirect, it is the one that led to the answer."""

    def use(url: str) -> Any:
        found = []
        with module.Client(auth=("a", "b"), follow_redirects=True) as client:
            for path in (PATH, "/moved" + PATH):
                with client.stream("POST", url + path, json=STREAM) as response:
                    response.read()
                request = (response.history or [response])[0].request
                found.append((response.url.path, request.url.path, request.content, dict(request.headers)))
        return found

    assert [record["prompt_tokens"] for record in both(use).records] == [12, 12]


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_raw_bytes_are_encoded_as_the_headers_say(module, both):
    """A proxy hands on both: where a chunk is missing, neither encoding nor length is that of the answer."""

    def use(url: str) -> bytes:
        headers = {"x-squeeze": "1"}
        with module.Client() as client, client.stream("POST", url + PATH, json=STREAM, headers=headers) as response:
            raw = b"".join(response.iter_raw())
        assert int(response.headers.get("content-length", len(raw))) == len(raw)
        return gzip.decompress(raw) if response.headers.get("content-encoding") == "gzip" else raw

    assert both(use).only["prompt_tokens"] == 12


def refused_by_httpx(url: str) -> Any:
    with (
        httpx.Client(event_hooks={"response": [httpx.Response.raise_for_status]}) as client,
        pytest.raises(httpx.HTTPStatusError) as raised,
    ):
        client.post(url, json=ASK)
    return raised.value.response.status_code


def refused_by_requests(url: str) -> Any:
    with pytest.raises(requests.HTTPError) as raised:
        requests.post(url, json=ASK, timeout=10, hooks={"response": lambda found, *_, **__: found.raise_for_status()})
    raised.value.response.close()
    return raised.value.response.status_code


def refused_by_aiohttp(url: str) -> Any:
    async def call() -> int:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            with pytest.raises(aiohttp.ClientResponseError) as raised:
                await session.post(url, json=ASK)
            return raised.value.status

    return asyncio.run(call())


@pytest.mark.parametrize("use", [refused_by_httpx, refused_by_requests, refused_by_aiohttp])
def test_a_refusal_that_was_made_an_error_is_a_refusal(use, both):
    """By a hook of the app's or by the client: the provider said 429, and bills nothing."""
    recorder = both(lambda url: use(f"{url}/refused{PATH}"))
    assert (recorder.only["status_code"], recorder.only["cost_status"], recorder.only["is_failed"]) == (
        429,
        "not_billed",
        True,
    )


class Pausing(httpx.AsyncBaseTransport):
    """Gives way once before it answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await _Pause()
        return httpx.Response(200, content=BODY, headers={"content-type": "application/json"})


class _Pause:
    def __await__(self) -> Generator[str, None, None]:
        yield "pause"


def test_a_call_may_go_on_in_another_context(both):
    """Whoever drives a coroutine by hand need not keep the context it began in."""

    async def call(url: str) -> bytes:
        async with httpx.AsyncClient(transport=Pausing()) as client:
            return (await client.post(url + PATH, json=ASK)).content

    def use(url: str) -> Any:
        coroutine = call(url)
        while True:
            try:
                contextvars.copy_context().run(coroutine.send, None)
            except StopIteration as done:
                return done.value

    assert both(use).only["prompt_tokens"] == 12


@pytest.mark.parametrize("module", [httpx, httpx2, requests])
def test_a_response_can_be_pickled(module, both):
    """As caches do."""
    both(lambda url: pickle.loads(pickle.dumps(module.post(url + PATH, json=STREAM))).content)
