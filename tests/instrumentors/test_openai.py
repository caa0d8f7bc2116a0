"""Calls through the real openai SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

ASK: Any = [{"role": "user", "content": "What is the capital of Portugal?"}]
LONG: Any = [{"role": "user", "content": "A long story about Lisbon. " * 400}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1024, "reasoning_tokens": 128}


@pytest.fixture
def client(provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="sk-secret", max_retries=0) as client:
        yield client


@pytest.fixture
def async_client(provider) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=provider.url("openai") + "/v1", api_key="sk-secret", max_retries=0)


def test_a_chat_is_one_record_that_says_what_was_served(client, agree):
    """A plain chat completion becomes one record with the provider's counts."""
    client.chat.completions.create(model="gpt-4o", messages=ASK)
    agree(
        model_type="text",
        operation="chat",
        finish_reason="stop",
        is_failed=False,
        has_tool_calls=False,
        pricing_tier="standard",
    )


def test_the_span_follows_the_semantic_conventions(client, recorder):
    """The span is a client span named after operation and model, with usage on it before it ends."""
    client.chat.completions.create(model="gpt-4o", messages=ASK, extra_headers={"x-demo-usage": json.dumps(USAGE)})
    [span] = recorder.spans
    assert span.name == "chat gpt-4o"
    assert span.kind.name == "CLIENT"
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.usage.input_tokens"] == 1200
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 1024
    assert span.attributes["server.address"] == "127.0.0.1"
    assert "sk-secret" not in repr(recorder.records) + repr(span.attributes)


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_is_counted_and_the_app_sees_what_it_asked_for(client, agree, provider, asked):
    """Usage of a stream is known whether or not the app asked, and only an app that asked gets the chunk with it."""
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, **options))
    record = agree(finish_reason="stop", is_failed=False)
    assert provider.ledger[0].request["stream_options"] == {"include_usage": True}
    assert [c for c in chunks if not c.choices] == ([chunks[-1]] if asked else [])
    assert any(c.usage for c in chunks) == asked
    assert record["time_to_first_token_ms"] >= 0
    assert "is_aborted" not in record


def test_nothing_is_asked_when_that_is_turned_off(client, recorder, provider, monkeypatch):
    """With SPECTRA_INJECT_USAGE=false a stream goes out as the app made it, and its tokens stay unknown."""
    monkeypatch.setenv("SPECTRA_INJECT_USAGE", "false")
    recorder.install()
    list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True))
    assert "stream_options" not in provider.ledger[0].request
    assert recorder.only.get("prompt_tokens") is None
    assert recorder.only["finish_reason"] == "stop"


def test_cached_tokens_are_part_of_the_prompt(client, recorder, provider):
    """The second of two equal long prompts is read from the cache, and says so."""
    for _ in range(2):
        client.chat.completions.create(model="gpt-4o", messages=LONG)
    first, second = recorder.records
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] == provider.ledger[1].usage["cached_tokens"] > 1024
    assert second["prompt_tokens"] == first["prompt_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_noticed(client, agree, stream):
    """A model that wants a tool run says so in the record."""
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, tools=TOOLS, stream=stream)
    if stream:
        list(answer)
    agree(has_tool_calls=True, finish_reason="tool_calls")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_part_of_the_output(client, agree, stream):
    """Reasoning tokens are counted inside the output."""
    answer = client.responses.create(model="o3", input="Think.", stream=stream)
    if stream:
        list(answer)
    agree(is_reasoning=True, finish_reason="completed", snapshot="o3-2025-04-16")


def test_a_background_response_is_a_job_whose_cost_is_not_known(client, recorder):
    """In background mode the first answer has no usage: the record waits, it is not zero."""
    client.responses.create(model="o3", input="Think.", background=True)
    assert recorder.only["cost_status"] == "billed_unknown"
    assert recorder.only.get("prompt_tokens") is None


def test_embeddings_count_input(client, agree):
    """An embedding call has input tokens and no output."""
    client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    agree(model_type="embedding", operation="embeddings", completion_tokens=None)


def test_listing_models_is_no_record(client, recorder):
    """What is not billed is counted as skipped and leaves neither span nor record."""
    client.models.list()
    assert recorder.spans == recorder.records == []


@pytest.mark.parametrize(("status", "billed"), [(429, "not_billed"), (401, "not_billed"), (500, "billed_unknown")])
def test_a_failed_call_is_a_record(client, recorder, status, billed):
    """The app gets its error; the record has status, type, and whether it was billed."""
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(
            model="gpt-4o", messages=ASK, max_tokens=10, extra_headers={"x-demo-error": str(status)}
        )
    record = recorder.only
    assert (record["status_code"], record["is_failed"], record["cost_status"]) == (status, True, billed)
    assert record["error_message"].startswith("the request asked to fail")
    assert recorder.spans[0].status.status_code.name == "ERROR"
    assert (record.get("upper_bound_in_cents") is not None) == (billed == "billed_unknown")


def test_each_attempt_of_the_sdk_is_a_record(provider, recorder):
    """Two failures and a success are three records, numbered as the SDK numbers them."""
    headers = {"x-demo-error": "500", "x-demo-fail-times": "2", "x-demo-key": "retries"}
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=2) as client:
        client.chat.completions.create(model="gpt-4o", messages=ASK, extra_headers=headers)
    assert [r["attempt"] for r in recorder.records] == [1, 2, 3]
    assert [r["is_failed"] for r in recorder.records] == [True, True, False]


def test_a_provider_that_is_not_there_bills_nothing(recorder, monkeypatch):
    """A refused connection is a failed record that is not billed."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "127.0.0.1:9=openai")
    recorder.install()
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert recorder.only["cost_status"] == "not_billed"
    assert recorder.only["error_type"] == "httpx2.ConnectError"


def test_the_async_client_is_recorded_alike(async_client, agree):
    """AsyncOpenAI makes the same record."""

    async def call() -> None:
        async with async_client as client:
            await client.chat.completions.create(model="gpt-4o", messages=ASK)

    asyncio.run(call())
    agree(finish_reason="stop")


def test_an_async_stream_is_recorded_alike(async_client, agree):
    """So does a stream of it, without the chunk that the app did not ask for."""

    async def call() -> list[object]:
        async with async_client as client:
            stream = await client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
            return [chunk async for chunk in stream if not chunk.choices]

    assert asyncio.run(call()) == []
    agree(finish_reason="stop")


def test_a_raw_response_reads_as_ever(client, agree):
    """with_raw_response and with_streaming_response give the app its body."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASK)
    assert raw.parse().choices[0].message.content.startswith("word0")
    agree()


def test_a_body_read_piece_by_piece_is_recorded(client, agree):
    """A whole JSON answer that the app streams is read on its way."""
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=ASK) as response:
        assert json.loads(b"".join(response.iter_bytes()))["object"] == "chat.completion"
    agree(finish_reason="stop")


def test_the_request_names_user_and_metadata(client, agree):
    """OpenAI's own user and metadata are attribution."""
    client.chat.completions.create(model="gpt-4o", messages=ASK, user="u7", metadata={"team": "blue"})
    agree(user_id="u7", metadata={"team": "blue"})
