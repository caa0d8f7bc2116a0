"""Calls through the real google-genai SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import google.genai as genai
import httpx2
import pytest
from google.genai import errors, types

MODEL = "gemini-2.5-flash"


@pytest.fixture
def client(provider) -> Iterator[genai.Client]:
    client = genai.Client(api_key="secret", http_options={"base_url": provider.url("google")})
    yield client
    client.close()


def test_thoughts_are_output(client, agree):
    """Gemini counts thoughts beside the candidates; the record's output is both."""
    client.models.generate_content(model=MODEL, contents="Hello")
    agree(operation="generate_content", completion_tokens=80, reasoning_tokens=64, finish_reason="STOP")


def test_the_last_chunk_of_a_stream_has_the_counts(client, agree):
    """Each chunk repeats the usage so far."""
    assert len(list(client.models.generate_content_stream(model=MODEL, contents="Hello"))) == 8
    agree(is_streaming=True, finish_reason="STOP")


def test_a_function_call_is_noticed(client, agree):
    """A model that wants a function called says so in the record."""
    weather = types.FunctionDeclaration(name="weather", parameters=types.Schema(type=types.Type.OBJECT, properties={}))
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[weather])])
    client.models.generate_content(model=MODEL, contents="Hello", config=config)
    agree(has_tool_calls=True)


def test_cached_content_is_part_of_the_prompt(client, recorder, provider):
    """The second of two equal long prompts is read from the cache."""
    for _ in range(2):
        client.models.generate_content(model=MODEL, contents="A long story. " * 500)
    assert recorder.records[1]["cached_tokens"] == provider.ledger[1].usage["cached_tokens"] > 1024


def test_embeddings_count_input(client, agree):
    """embed_content has input tokens and no output."""
    client.models.embed_content(model="gemini-embedding-001", contents="Hello")
    agree(model_type="embedding", completion_tokens=None)


def test_a_failed_call_is_a_record(client, recorder):
    """A refused call is failed and not billed."""
    config = types.GenerateContentConfig(http_options=types.HttpOptions(headers={"x-demo-error": "429"}))
    with pytest.raises(errors.ClientError):
        client.models.generate_content(model=MODEL, contents="Hello", config=config)
    record = recorder.records[-1]
    assert (record["status_code"], record["error_type"], record["cost_status"]) == (
        429,
        "RESOURCE_EXHAUSTED",
        "not_billed",
    )


def test_the_async_client_is_recorded_alike(provider, agree):
    """The aio client over httpx2, streamed."""

    async def call() -> None:
        async with httpx2.AsyncClient() as http:
            options = types.HttpOptions(base_url=provider.url("google"), httpx_async_client=http)
            client = genai.Client(api_key="secret", http_options=options)
            async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="Hello"):
                pass
            client.close()

    asyncio.run(call())
    agree(finish_reason="STOP")
