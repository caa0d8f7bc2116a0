"""Calls through the real anthropic SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

MODEL = "claude-opus-4-8"
ASK: Any = {
    "model": MODEL,
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "What is the capital of Portugal?"}],
}
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
CACHED: Any = [{"type": "text", "text": "The rules of the house. " * 400, "cache_control": {"type": "ephemeral"}}]
USAGE = {
    "prompt_tokens": 5000,
    "completion_tokens": 70,
    "cached_tokens": 1000,
    "cache_write_tokens": 3000,
    "cache_write_1h_tokens": 500,
}


@pytest.fixture
def client(provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url("anthropic"), api_key="sk-secret", max_retries=0) as client:
        yield client


def test_a_message_is_one_record_that_says_what_was_served(client, agree):
    """Anthropic counts input without the cache; the record's prompt is all of it."""
    client.messages.create(**ASK, extra_headers={"x-demo-usage": json.dumps(USAGE)})
    agree(
        prompt_tokens=5000,
        cache_write_1h_tokens=500,
        finish_reason="end_turn",
        pricing_tier="standard",
        provider="anthropic",
    )


def test_a_stream_is_read_to_its_final_counts(client, agree):
    """The provisional count at the start of a stream is not what counts."""
    with client.messages.stream(**ASK, extra_headers={"x-demo-usage": json.dumps(USAGE)}) as stream:
        assert stream.get_final_text().startswith("word0")
    agree(completion_tokens=70, prompt_tokens=5000, finish_reason="end_turn")


def test_a_cache_is_written_and_read(client, recorder, provider):
    """The first call with cache_control writes, the second reads; both have the same prompt."""
    for _ in range(2):
        client.messages.create(**ASK, system=CACHED)
    first, second = recorder.records
    assert first["cache_write_tokens"] == second["cached_tokens"] == provider.ledger[1].usage["cached_tokens"] > 1024
    assert first["prompt_tokens"] == second["prompt_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_noticed(client, agree, stream):
    """A model that wants a tool run says so in the record."""
    answer = client.messages.create(**ASK, tools=TOOLS, stream=stream)
    if stream:
        list(answer)
    agree(has_tool_calls=True, finish_reason="tool_use")


def test_thinking_is_output(client, agree):
    """Thinking is inside the output's count."""
    asked = {
        **ASK,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "model": "claude-haiku-4-5",
    }
    with client.messages.stream(**asked) as stream:
        stream.until_done()
    agree(has_tool_calls=False)


def test_counting_tokens_is_no_record(client, recorder):
    """count_tokens is free."""
    client.messages.count_tokens(model=MODEL, messages=ASK["messages"])
    assert recorder.spans == recorder.records == []


def test_a_failed_call_is_a_record(client, recorder):
    """An overloaded provider bills nothing."""
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**ASK, extra_headers={"x-demo-error": "529"})
    record = recorder.only
    assert (record["status_code"], record["error_type"], record["cost_status"]) == (
        529,
        "overloaded_error",
        "not_billed",
    )


def test_the_async_client_is_recorded_alike(provider, agree):
    """AsyncAnthropic, streamed."""

    async def call() -> None:
        client = anthropic.AsyncAnthropic(base_url=provider.url("anthropic"), api_key="x", max_retries=0)
        async with client, client.messages.stream(**ASK) as stream:
            await stream.until_done()

    asyncio.run(call())
    agree(finish_reason="end_turn")
