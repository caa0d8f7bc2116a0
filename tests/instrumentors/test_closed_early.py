"""Streams that the app does not read to the end: each is one record, aborted and estimated, and none is lost."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable, Iterator
from typing import Any

import anthropic
import openai
import pytest

ASK: Any = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Tell me a story of forty words, no more."}],
    "stream": True,
}
MANY = {"x-demo-chunks": "40", "x-demo-delay": "0.002"}


@pytest.fixture
def client(provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        yield client


def start(client: openai.OpenAI) -> openai.Stream:
    return client.chat.completions.create(**ASK, extra_headers=MANY)


def take(stream: Iterable[object], count: int) -> None:
    for _, _ in zip(range(count), stream, strict=False):
        pass


def assert_aborted(record: dict[str, Any], *, delivered: bool = True) -> None:
    """The record is of a call cut short: tokens estimated from what was sent and delivered."""
    assert record["is_aborted"] is True
    assert record["is_failed"] is False
    assert record["prompt_tokens"] == 10
    assert (record["completion_tokens"] > 0) == delivered
    assert record["completion_tokens"] < 40 * 2
    assert record["snapshot"] == "gpt-4o-2024-08-06" if delivered else True


def wait_for_record(recorder) -> dict[str, object]:
    deadline = time.monotonic() + 3
    while not recorder.records and time.monotonic() < deadline:
        time.sleep(0.01)
    return recorder.only


def test_break_and_close(client, recorder):
    """close() after a break settles the record."""
    stream = start(client)
    take(stream, 5)
    assert recorder.records == []
    stream.close()
    assert_aborted(recorder.only)


def test_leaving_a_with_block(client, recorder):
    """So does leaving the with block."""
    with start(client) as stream:
        take(stream, 5)
    assert_aborted(recorder.only)


def test_break_and_let_go(client, recorder):
    """A stream that is dropped is settled when the garbage collector takes it."""
    stream = start(client)
    take(stream, 5)
    del stream
    gc.collect()
    assert_aborted(wait_for_record(recorder))


def test_never_iterated(client, recorder):
    """A stream that nobody read cost its input."""
    stream = start(client)
    del stream
    gc.collect()
    assert_aborted(wait_for_record(recorder), delivered=False)


def test_break_with_the_reference_held(client, recorder):
    """A flush settles a stream that is still held, and reading on does no harm."""
    stream = start(client)
    take(stream, 5)
    recorder.settle()
    assert_aborted(recorder.only)
    assert len(list(stream)) > 30
    assert_aborted(recorder.only)


def test_an_exception_in_the_loop(client, recorder):
    """An exception of the app inside the loop leaves one record."""

    def loop() -> None:
        with start(client) as stream:
            for number, _ in enumerate(stream):
                assert number < 3 or 1 / 0

    with pytest.raises(ZeroDivisionError):
        loop()
    assert_aborted(recorder.only)


def test_a_stream_read_to_the_end_is_whole_though_it_is_closed(client, recorder):
    """The openai SDK closes a stream at [DONE]: that is no abort."""
    list(start(client))
    assert "is_aborted" not in recorder.only


def test_a_connection_cut_by_the_server(client, recorder):
    """The app gets the SDK's error; the record says what was delivered."""
    stream = client.chat.completions.create(**ASK, extra_headers={**MANY, "x-demo-cut": "6"})
    with pytest.raises(openai.APIError):
        list(stream)
    record = recorder.only
    assert (record["is_aborted"], record["is_failed"], record["error_type"]) == (
        True,
        True,
        "httpx2.RemoteProtocolError",
    )
    assert record["completion_tokens"] > 0


def test_an_anthropic_stream_knows_its_input(provider, recorder):
    """message_start tells the input exactly, so only the output is estimated."""
    with anthropic.Anthropic(base_url=provider.url("anthropic"), api_key="x", max_retries=0) as client:
        ask = {"model": "claude-opus-4-8", "max_tokens": 64, "messages": ASK["messages"]}
        with client.messages.stream(**ask, extra_headers=MANY) as stream:
            take(stream, 8)
    record = recorder.only
    assert record["prompt_tokens"] == provider.ledger[0].usage["prompt_tokens"]
    assert 0 < record["completion_tokens"] < 80
    assert record["is_aborted"] is True


def run_async(provider, scenario) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=0) as client:
            await scenario(client)

    asyncio.run(main())


def test_async_break_and_close(provider, recorder):
    """An async stream closed after a break."""

    async def scenario(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**ASK, extra_headers=MANY)
        async for _ in stream:
            break
        await stream.close()

    run_async(provider, scenario)
    assert recorder.only["is_aborted"] is True


def test_async_break_and_let_go(provider, recorder):
    """An async stream dropped after a break."""

    async def scenario(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**ASK, extra_headers=MANY)
        async for _ in stream:
            break
        del stream
        gc.collect()
        await asyncio.sleep(0.05)

    run_async(provider, scenario)
    assert wait_for_record(recorder)["is_aborted"] is True


def test_a_task_cancelled_while_it_reads(provider, recorder):
    """Cancellation inside a read reaches the record at once, and the app as it would."""

    async def scenario(client: openai.AsyncOpenAI) -> None:
        async def read() -> None:
            stream = await client.chat.completions.create(**ASK, extra_headers={**MANY, "x-demo-delay": "0.05"})
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(provider, scenario)
    record = wait_for_record(recorder)
    assert (record["is_aborted"], record["is_failed"]) == (True, False)


def test_a_task_cancelled_before_the_answer(provider, recorder):
    """A call cancelled before any answer may have been billed: it is a record with an unknown cost."""

    async def scenario(client: openai.AsyncOpenAI) -> None:
        call = client.chat.completions.create(**ASK, max_tokens=5, extra_headers={"x-demo-wait": "0.5"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.2)

    run_async(provider, scenario)
    record = wait_for_record(recorder)
    assert (record["is_aborted"], record["cost_status"]) == (True, "billed_unknown")
    assert record.get("status_code") is None
    while not provider.ledger:  # the server is still at it, and its line must not fall into the next test
        time.sleep(0.01)
