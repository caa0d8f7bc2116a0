"""Answers that nobody reads to their end: never begun, left in the middle, forgotten; and answers that another thread reads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import boto3
import botocore.config
import httpx
import pytest
import requests

from tests.instrumentors.servers import Handler, serving
from tests.instrumentors.test_clients import frame
from tests.recording import Recorder

ASK = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
CHUNK = b'data: {"id": "c1", "choices": [{"delta": {"content": "word "}, "finish_reason": null}]}\n\n'
GOOD = json.dumps({"id": "c1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}).encode()
TEXT = frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"word "}}')
PATH = "/v1/chat/completions"


def endless(handler: Handler, body: bytes) -> None:
    """Streams where it is asked to, for as long as anybody listens."""
    asked = json.loads(body or b"{}")
    if handler.path.endswith("-stream"):
        handler.pieces(_slowly(TEXT), content_type="application/vnd.amazon.eventstream")
    elif asked.get("stream"):
        handler.pieces(_slowly(CHUNK), content_type="text/event-stream")
    else:
        handler.whole(GOOD, content_type="application/json")


def _slowly(piece: bytes) -> Iterator[bytes]:
    for _ in range(1000):
        yield piece
        time.sleep(0.002)


@pytest.fixture
def host(recorder, monkeypatch) -> Iterator[Callable[[str], str]]:
    """Say whom the server plays; its address."""
    with serving(endless) as server:

        def known(name: str) -> str:
            monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}={name}")
            recorder.install()
            return f"http://{server.host}"

        yield known


def forgotten(recorder: Recorder) -> dict[str, Any]:
    """The record of an answer of which nothing is left but what the garbage collector finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the client that is forgotten with it
        gc.collect()
        recorder.settle()
    return recorder.only


def with_requests(url: str, pieces: int) -> None:
    response = requests.post(url + PATH, json=ASK, stream=True, timeout=10)
    found = response.iter_content(64)
    for _ in range(pieces):
        next(found)


def with_httpx(url: str, pieces: int) -> None:
    client = httpx.Client()
    response = client.send(client.build_request("POST", url + PATH, json=ASK), stream=True)
    found = response.iter_raw()
    for _ in range(pieces):
        next(found)


def with_botocore(url: str, pieces: int) -> None:
    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, aws_access_key_id="AKIAX",
        aws_secret_access_key="secret", config=botocore.config.Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    found = iter(client.converse_stream(modelId="m", messages=[])["stream"])
    for _ in range(pieces):
        next(found)


def with_aiohttp(url: str, pieces: int) -> None:
    async def call() -> None:
        async with aiohttp.ClientSession() as session:
            response = await session.post(url + PATH, json=ASK)
            for _ in range(pieces):
                await response.content.readany()

    asyncio.run(call())


CALLS: dict[str, tuple[str, Callable[[str, int], None]]] = {
    "requests": ("openai", with_requests),
    "httpx": ("openai", with_httpx),
    "botocore": ("bedrock", with_botocore),
    "aiohttp": ("openai", with_aiohttp),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize("client", CALLS)
def test_an_answer_that_is_forgotten_is_an_aborted_record(client, pieces, host, recorder):
    """Never begun, or left after a piece, and never closed."""
    name, call = CALLS[client]
    call(host(name), pieces)
    record = forgotten(recorder)
    assert (record["is_aborted"], record["is_failed"]) == (True, False)


def test_an_answer_that_another_thread_reads(host, recorder):
    """The record is of the call, whoever reads it."""
    response = requests.post(host("openai") + PATH, json={**ASK, "stream": False}, stream=True, timeout=10)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(response.content))
    thread.start()
    thread.join()
    assert found == [GOOD]
    assert recorder.only["prompt_tokens"] == 12


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_threads_at_once_are_each_a_record(client, host, recorder):
    """Fifty calls of eight threads through one client, each beneath its own span."""
    url = host("openai") + PATH
    tracer = recorder.provider.get_tracer("app")
    with requests.Session() as session, httpx.Client() as other:

        def one(number: int) -> int:
            with tracer.start_as_current_span(f"work {number}") as span:
                body = {**ASK, "stream": False}
                if client == "requests":
                    assert session.post(url, json=body, timeout=10).content == GOOD
                else:
                    assert other.post(url, json=body).content == GOOD
                return span.get_span_context().span_id

        with ThreadPoolExecutor(8) as pool:
            parents = list(pool.map(one, range(50)))
    assert sorted(record["_span"].parent.span_id for record in recorder.records) == sorted(parents)
    assert all(record["prompt_tokens"] == 12 for record in recorder.records)


def half(handler: Handler, body: bytes) -> None:
    """Says how long the answer is, sends the half of it and goes; all of it where the app asks for that."""
    end = len(GOOD) if b"whole" in body else len(GOOD) // 2
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(GOOD)))
    handler.end_headers()
    handler.wfile.write(GOOD[:end])
    handler.close_connection = True


def by_requests(url: str, asked: str, read: bool) -> None:
    with requests.post(url, json=ask_of(asked), stream=True, timeout=60) as response:
        assert not read or response.content


def by_httpx(url: str, asked: str, read: bool) -> None:
    with httpx.Client(timeout=60) as client, client.stream("POST", url, json=ask_of(asked)) as response:
        assert not read or response.read()


def by_aiohttp(url: str, asked: str, read: bool) -> None:
    async def call() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=ask_of(asked)) as response:
            assert not read or await response.read()

    asyncio.run(call())


def ask_of(asked: str) -> dict[str, Any]:
    return {"model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": asked}]}


@pytest.mark.parametrize("call", [by_requests, by_httpx, by_aiohttp])
@pytest.mark.parametrize(("asked", "read"), [("half", True), ("half", False), ("whole", False), ("whole", True)])
def test_a_document_that_is_not_read_whole_has_a_cost_that_nobody_knows(call, asked, read, recorder, monkeypatch):
    """It broke off, or the app did not want it: the provider did the work all the same, for at most so much."""
    with serving(half) as server:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}=openai")
        recorder.install()
        is_cut = asked == "half" and read
        with pytest.raises(Exception) if is_cut else contextlib.nullcontext():  # noqa: PT011 - each client has its own
            call(f"http://{server.host}{PATH}", asked, read)
        gc.collect()
        recorder.settle()
    record = recorder.only
    if asked == "whole" and read:
        assert (record["prompt_tokens"], record.get("is_aborted"), record.get("cost_status")) == (12, None, None)
        return
    assert (record["is_aborted"], bool(record.get("is_failed")), record["status_code"]) == (True, is_cut, 200)
    assert record["cost_status"] == "billed_unknown"
    assert record["upper_bound_in_cents"] > 0
    assert record.get("completion_tokens") is None
    assert record.get("error_type") != "response_unreadable"
