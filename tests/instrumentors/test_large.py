"""Hostile answers, through every client: huge bodies, and bodies in very many pieces. Memory stays bounded, bytes unchanged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import boto3
import botocore.config
import httpx2
import pytest
import requests

from tests.instrumentors.servers import Handler, serving

ASK = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
CHUNK = b'data: {"id": "c1", "choices": [{"delta": {"content": "x"}, "finish_reason": null}]}\n\n'
COUNTS = b'data: {"id": "c1", "choices": [], "usage": %s}\n\n' % json.dumps(USAGE).encode()
END = b"data: [DONE]\n\n"
MEGABYTE = 1 << 20
Read = Callable[[str], tuple[int, str]]


def by_httpx2(url: str) -> tuple[int, str]:
    with httpx2.Client(timeout=60) as client, client.stream("POST", url, json=ASK) as response:
        return digest(response.iter_raw(65536))


def by_requests(url: str) -> tuple[int, str]:
    with requests.Session() as session, session.post(url, json=ASK, stream=True, timeout=60) as response:
        return digest(response.iter_content(65536))


def by_aiohttp(url: str) -> tuple[int, str]:
    async def call() -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.post(url, json=ASK) as response:
            found, size = hashlib.sha256(), 0
            async for piece in response.content.iter_any():
                found.update(piece)
                size += len(piece)
            return size, found.hexdigest()

    return asyncio.run(call())


def by_botocore(url: str) -> tuple[int, str]:
    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url.removesuffix("/v1/chat/completions"),
        aws_access_key_id="AKIAX",
        aws_secret_access_key="secret", config=botocore.config.Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    try:
        return digest(client.invoke_model(modelId="m", body=b"{}")["body"].iter_chunks(65536))
    finally:
        client.close()


def digest(pieces: Iterator[bytes]) -> tuple[int, str]:
    found, size = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
    return size, found.hexdigest()


CLIENTS: dict[str, Read] = {
    "httpx2": by_httpx2,
    "requests": by_requests,
    "aiohttp": by_aiohttp,
    "botocore": by_botocore,
}


@pytest.fixture
def read(recorder, monkeypatch):
    """What a client reads of an answer in these pieces: its size and digest."""

    def read(client: str, pieces: Callable[[], Iterator[bytes]], kind: str) -> tuple[int, str]:
        def answer(handler: Handler, _body: bytes) -> None:
            handler.pieces(pieces(), content_type=kind)

        with serving(answer) as server:
            name = "bedrock" if client == "botocore" else "openai"
            monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}={name}")
            monkeypatch.setenv("SPECTRA_INJECT_USAGE", "false")
            recorder.install()
            return CLIENTS[client](f"http://{server.host}/v1/chat/completions")

    return read


def one_line() -> Iterator[bytes]:
    yield b'data: {"id": "'
    for _ in range(100):
        yield b"x" * MEGABYTE
    yield b'"}\n\n'


def document() -> Iterator[bytes]:
    yield b'{"id": "c1", "junk": "'
    for _ in range(100):
        yield b"x" * MEGABYTE
    yield b'"}'


def many_lines() -> Iterator[bytes]:
    for _ in range(20):
        yield (b"data: {" + b"[" * 1000 + b"\n\n") * (MEGABYTE // 1010)


HOSTILE = {"one event": (one_line, "text/event-stream"), "one document": (document, "application/json"),
           "lines that are no JSON": (many_lines, "text/event-stream")}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_hostile_body_takes_bounded_memory(client, body, read, recorder):
    """At most one event's worth of 100 MB is held, no time is lost over lines of junk, and the app gets every byte."""
    pieces, kind = HOSTILE[body]
    want = digest(pieces())
    tracemalloc.start(1)
    try:
        assert read(client, pieces, kind) == want
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    recorder.settle()
    assert peak < 100 * MEGABYTE
    assert recorder.only.get("usage_raw") is None
    if body == "one document":
        assert recorder.only["error_type"] == "response_too_large"


@pytest.mark.parametrize("client", ["httpx2", "requests", "aiohttp"])
def test_a_stream_of_100_000_chunks_is_counted(client, read, recorder):
    """Each chunk a piece of its own on the wire; memory does not grow with their number."""

    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield CHUNK * 100
        yield COUNTS + END

    want = digest(pieces())
    assert read(client, pieces, "text/event-stream") == want
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)


def test_a_stream_in_100_000_pieces_of_a_few_bytes(recorder):
    """Cut anywhere, also through the middle of a character."""
    raw = b"".join(CHUNK.replace(b'"x"', '"h\u00e9llo \u2603"'.encode()) for _ in range(8000)) + COUNTS + END

    class Drops(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return (raw[at : at + 7] for at in range(0, len(raw), 7))

    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Drops())
    asked: dict[str, Any] = {**ASK, "stream_options": {"include_usage": True}}
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client,
        client.stream("POST", "https://api.openai.com/v1/chat/completions", json=asked) as response,
    ):
        assert digest(response.iter_raw()) == digest(iter([raw]))
    assert recorder.only["prompt_tokens"] == 12


def test_what_follows_an_event_that_was_too_large_is_read(recorder):
    """The stream goes on after it, cut anywhere, and the counts at its end count."""

    def pieces() -> Iterator[bytes]:
        yield b'data: {"id": "'
        for _ in range(40):
            yield b"x" * MEGABYTE
        yield b'"}\n\ndata: {"id": "c'
        yield b'1"}\n\n' + COUNTS[:30]
        yield COUNTS[30:]
        yield END

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return pieces()

    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())
    asked: dict[str, Any] = {**ASK, "stream_options": {"include_usage": True}}
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client,
        client.stream("POST", "https://api.openai.com/v1/chat/completions", json=asked) as response,
    ):
        assert digest(response.iter_raw()) == digest(pieces())
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)
