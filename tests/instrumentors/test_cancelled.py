"""Tasks that are cancelled, alone or by their group: the app sees its cancellation, and each call that was begun is a record."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from tests.instrumentors.servers import Handler, Server, serving

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
CHUNK = b'data: {"id": "c1", "choices": [{"delta": {"content": "word "}, "finish_reason": null}]}\n\n'
GOOD = json.dumps({"id": "c1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}).encode()
Ask = Callable[[str, dict[str, Any]], Awaitable[bytes]]


async def by_aiohttp(url: str, body: dict[str, Any]) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return await response.read()


async def by_httpx(url: str, body: dict[str, Any]) -> bytes:
    async with httpx.AsyncClient(timeout=20) as client:
        return (await client.post(url, json=body)).content


async def by_httpx2(url: str, body: dict[str, Any]) -> bytes:
    async with (
        httpx2.AsyncClient(timeout=20) as client,
        client.stream("POST", url, json=body) as response,
    ):
        return await response.aread()


CLIENTS: list[Ask] = [by_aiohttp, by_httpx, by_httpx2]


def slow(handler: Handler, body: bytes) -> None:
    """Streams forever where it is asked to stream, answers ``good`` requests at once, and keeps others waiting."""
    asked = json.loads(body)

    def chunks() -> Iterator[bytes]:
        for _ in range(400):
            yield CHUNK
            time.sleep(0.01)

    if asked.get("stream"):
        handler.pieces(chunks(), content_type="text/event-stream")
        return
    if asked["model"] != "good":
        time.sleep(1)
    handler.whole(GOOD, content_type="application/json")


@pytest.fixture
def server(recorder, monkeypatch) -> Iterator[Server]:
    with serving(slow) as server:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}=openai")
        recorder.install()
        yield server


def url_of(server: Server) -> str:
    return f"http://{server.host}/v1/chat/completions"


async def cancelled(task: asyncio.Task[bytes], after: float) -> None:
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("ask", CLIENTS)
def test_cancelled_before_an_answer(ask, server, recorder):
    """It may have been billed, and nobody says so: an upper bound is all that is known."""

    async def run() -> None:
        await cancelled(asyncio.create_task(ask(url_of(server), {**ASK, "max_tokens": 5})), 0.15)

    asyncio.run(run())
    assert (recorder.only["is_aborted"], recorder.only["cost_status"]) == (True, "billed_unknown")


@pytest.mark.parametrize("ask", CLIENTS)
def test_cancelled_while_it_reads(ask, server, recorder):
    """What was delivered is estimated."""

    async def run() -> None:
        await cancelled(asyncio.create_task(ask(url_of(server), {**ASK, "stream": True})), 0.3)

    asyncio.run(run())
    recorder.settle()
    record = recorder.only
    assert (record["is_aborted"], record["is_failed"]) == (True, False)
    assert 0 < record["completion_tokens"] < 400


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_group_that_fails_cancels_its_calls(ask, server, recorder):
    """One task raises: the call that was done stays as it was, those under way are aborted, and the app sees its own error."""

    async def fail() -> None:
        await asyncio.sleep(0.3)
        raise ValueError("the app's own")

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(url_of(server), {**ASK, "model": "good"}))
            group.create_task(ask(url_of(server), ASK))
            group.create_task(ask(url_of(server), {**ASK, "stream": True}))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(run())
    assert [str(error) for error in raised.value.exceptions] == ["the app's own"]
    recorder.settle()
    done, *others = sorted(recorder.records, key=lambda record: bool(record.get("is_aborted")))
    assert (done["prompt_tokens"], done.get("is_aborted")) == (12, None)
    assert [record["is_aborted"] for record in others] == [True, True]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_timeout_of_the_apps_is_a_cancellation(ask, server, recorder):
    """``asyncio.timeout`` around a call."""

    async def run() -> None:
        async with asyncio.timeout(0.15):
            await ask(url_of(server), ASK)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert (recorder.only["is_aborted"], recorder.only["cost_status"]) == (True, "billed_unknown")


def test_a_timeout_of_the_clients_is_a_failure(server, recorder):
    """The request was sent, so it may have been billed."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url_of(server), json=ASK, timeout=0.1)
    record = recorder.only
    assert (record["is_failed"], record["error_type"]) == (True, "httpx.ReadTimeout")
    assert record["cost_status"] == "billed_unknown"


def test_tasks_of_one_session_know_their_own_spans(server, recorder):
    """Calls that run at once are each a span beneath the task's own, and none beneath another's."""
    tracer = recorder.provider.get_tracer("app")

    async def one(session: aiohttp.ClientSession, number: int) -> int:
        with tracer.start_as_current_span(f"task {number}") as span:
            async with session.post(url_of(server), json={**ASK, "model": "good"}) as response:
                await response.read()
            return span.get_span_context().span_id

    async def run() -> list[int]:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(session, number)) for number in range(10)]
        return [task.result() for task in tasks]

    parents = asyncio.run(run())
    assert sorted(record["_span"].parent.span_id for record in recorder.records) == sorted(parents)
