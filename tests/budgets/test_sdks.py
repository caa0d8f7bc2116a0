"""Every SDK, with its default settings and with retries of its own, hears of a full budget at once and sends nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import spectra_otel as spectra
from spectra_otel.sdk import runtime
from tests.budgets.blocked import ends_at_once

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


class Listener:
    """A port that counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


def call_openai(url: str, retries: bool) -> None:
    import openai

    options: Any = {"max_retries": 4} if retries else {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", **options) as client:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=50)


def call_responses(url: str, retries: bool) -> None:
    import openai

    options: Any = {"max_retries": 4} if retries else {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", **options) as client:
        client.responses.create(model="gpt-4o", input="hello", max_output_tokens=50)


def call_xai(url: str, retries: bool) -> None:
    import openai

    options: Any = {"max_retries": 4} if retries else {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", **options) as client:
        client.chat.completions.create(model="grok-4", messages=MESSAGES, max_tokens=50)


def call_anthropic(url: str, retries: bool) -> None:
    import anthropic

    options: Any = {"max_retries": 4} if retries else {}
    with anthropic.Anthropic(base_url=url, api_key="x", **options) as client:
        client.messages.create(model="claude-opus-5", messages=MESSAGES, max_tokens=50)


def call_groq(url: str, retries: bool) -> None:
    import groq

    options: Any = {"max_retries": 4} if retries else {}
    with groq.Groq(base_url=url, api_key="x", **options) as client:
        client.chat.completions.create(model="openai/gpt-oss-120b", messages=MESSAGES, max_tokens=50)


def call_google(url: str, retries: bool) -> None:
    from google.genai import Client, types

    retry = types.HttpRetryOptions(attempts=4, initial_delay=2.0) if retries else None
    with Client(api_key="x", http_options=types.HttpOptions(base_url=url, retry_options=retry)) as client:
        client.models.generate_content(model="gemini-2.5-flash", contents="hello")


def call_mistral(url: str, retries: bool) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    backoff = RetryConfig("backoff", BackoffStrategy(2000, 8000, 1.5, 20000), True) if retries else None
    with Mistral(api_key="x", server_url=url, retry_config=backoff) as client:  # type: ignore[arg-type]
        client.chat.complete(model="mistral-large-latest", messages=MESSAGES, max_tokens=50)


def call_cohere(url: str, retries: bool) -> None:
    import cohere

    client = cohere.ClientV2(api_key="x", base_url=url)
    options: Any = {"request_options": {"max_retries": 4}} if retries else {}
    client.chat(model="command-a-03-2025", messages=MESSAGES, max_tokens=50, **options)


def call_ollama(url: str, retries: bool) -> None:
    import ollama

    ollama.Client(host=url).chat(model="llama3", messages=MESSAGES)


async def call_openai_async(url: str, retries: bool) -> None:
    import openai

    options: Any = {"max_retries": 4} if retries else {}
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", **options) as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=50, stream=True)
        async for _ in stream:
            pass


async def call_anthropic_async(url: str, retries: bool) -> None:
    import anthropic

    options: Any = {"max_retries": 4} if retries else {}
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="x", **options) as client,
        client.messages.stream(model="claude-opus-5", messages=MESSAGES, max_tokens=50) as stream,
    ):
        async for _ in stream:
            pass


async def call_groq_async(url: str, retries: bool) -> None:
    import groq

    options: Any = {"max_retries": 4} if retries else {}
    async with groq.AsyncGroq(base_url=url, api_key="x", **options) as client:
        await client.chat.completions.create(model="openai/gpt-oss-120b", messages=MESSAGES, max_tokens=50)


async def call_google_async(url: str, retries: bool) -> None:
    from google.genai import Client, types

    retry = types.HttpRetryOptions(attempts=4, initial_delay=2.0) if retries else None
    async with Client(api_key="x", http_options=types.HttpOptions(base_url=url, retry_options=retry)).aio as client:
        await client.models.generate_content(model="gemini-2.5-flash", contents="hello")


async def call_mistral_async(url: str, retries: bool) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    backoff = RetryConfig("backoff", BackoffStrategy(2000, 8000, 1.5, 20000), True) if retries else None
    async with Mistral(api_key="x", server_url=url, retry_config=backoff) as client:  # type: ignore[arg-type]
        await client.chat.complete_async(model="mistral-large-latest", messages=MESSAGES, max_tokens=50)


async def call_cohere_async(url: str, retries: bool) -> None:
    import cohere

    client = cohere.AsyncClientV2(api_key="x", base_url=url)
    options: Any = {"request_options": {"max_retries": 4}} if retries else {}
    await client.chat(model="command-a-03-2025", messages=MESSAGES, max_tokens=50, **options)


async def call_ollama_async(url: str, retries: bool) -> None:
    import ollama

    await ollama.AsyncClient(host=url).chat(model="llama3", messages=MESSAGES)


def on_a_loop(call: Callable[[str, bool], Coroutine[Any, Any, None]]) -> Callable[[str, bool], None]:
    return lambda url, retries: asyncio.run(call(url, retries))


SDKS: dict[str, tuple[Callable[[str, bool], None], str]] = {
    "openai": (call_openai, "openai"),
    "openai-responses": (call_responses, "openai"),
    "xai": (call_xai, "xai"),
    "anthropic": (call_anthropic, "anthropic"),
    "groq": (call_groq, "groq"),
    "google-genai": (call_google, "google"),
    "mistralai": (call_mistral, "mistral"),
    "cohere": (call_cohere, "cohere"),
    "ollama": (call_ollama, "ollama"),
    "openai-async": (on_a_loop(call_openai_async), "openai"),
    "anthropic-async": (on_a_loop(call_anthropic_async), "anthropic"),
    "groq-async": (on_a_loop(call_groq_async), "groq"),
    "google-genai-async": (on_a_loop(call_google_async), "google"),
    "mistralai-async": (on_a_loop(call_mistral_async), "mistral"),
    "cohere-async": (on_a_loop(call_cohere_async), "cohere"),
    "ollama-async": (on_a_loop(call_ollama_async), "ollama"),
}
"""Asynchronous ones with streams where they have them."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # google-genai's own
@pytest.mark.parametrize("retries", [False, True], ids=["default", "retrying"])
@pytest.mark.parametrize("name", SDKS)
def test_a_full_budget_is_heard_of_at_once(
    name: str, retries: bool, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second, in one pass, with no connection to the provider: status 429 with our header, or our exception."""
    call, provider = SDKS[name]
    module = name.removesuffix("-async")
    pytest.importorskip(
        {"xai": "openai", "openai-responses": "openai", "google-genai": "google.genai"}.get(module, module)
    )
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"127.0.0.1:{listener.port}={provider}")
    runtime.configure(tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        spectra.budgets.set("full", tokens=1, period="daily")
        with pytest.raises(Exception):  # noqa: B017, PT011 - the first call imports what the SDK imports late
            call(f"http://127.0.0.1:{listener.port}", retries)
        error, tries = ends_at_once(lambda: call(f"http://127.0.0.1:{listener.port}", retries), Exception)
    finally:
        runtime.shutdown()
    response = getattr(error, "response", None)
    is_answer = getattr(error, "status_code", None) == 429 and response is not None
    is_ours = isinstance(error, spectra.BudgetExceededError) or isinstance(error.__cause__, spectra.BudgetExceededError)
    assert is_ours or (is_answer and response is not None and response.headers["x-spectra-budget"] == "full")
    assert listener.visits == 0
    [row] = spectra.budgets.status("full")
    assert row.blocked_requests == 1 + tries


def test_the_refusal_is_a_record_that_costs_nothing(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A call that a budget stopped is a failed record, not billed, whose span says which budget it was."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"127.0.0.1:{listener.port}=openai")
    provider, exported = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    runtime.configure(tracer_provider=provider)
    try:
        spectra.budgets.set("full", tokens=1, period="daily")
        with pytest.raises(Exception, match="full"):
            call_openai(f"http://127.0.0.1:{listener.port}", False)
    finally:
        runtime.shutdown()
    [span] = exported.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["spectra.budget.blocked"] is True
    assert span.attributes["spectra.budget.name"] == "full"
    assert span.attributes["spectra.cost.status"] == "not_billed"
    assert [event.name for event in span.events] == ["spectra.budget.exceeded"]
