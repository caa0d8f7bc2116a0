"""Calls through the providers' own clients, as their documentation shows them."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import cohere
import elevenlabs
import fal_client
import groq
import mistralai.client
import ollama
import openai
import replicate
from apps.google import CASES as GOOGLE

MESSAGES: Any = [{"role": "user", "content": "How is the weather?"}]
GPT, CLAUDE, COMMAND, LLAMA, MISTRAL = (
    "gpt-4o", "claude-sonnet-4-5", "command-a-03-2025", "llama-3.3-70b-versatile", "mistral-large-2512",
)  # fmt: skip
VOICE = {"voice_id": "Rachel", "text": "Hello world", "model_id": "eleven_multilingual_v2"}
FLUX = "black-forest-labs/flux-schnell"


def leave(stream: Any, after: int = 3) -> None:
    """Read a few items and close."""
    for number, _ in enumerate(stream):
        if number == after:
            break
    close = getattr(stream, "close", None)
    if close is not None:
        close()


def openai_client(server: Any, provider: str = "openai", path: str = "/v1") -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url(provider) + path, api_key="x", max_retries=0)


def openai_chat(server: Any, **more: Any) -> Any:
    return openai_client(server).chat.completions.create(model=GPT, messages=MESSAGES, **more)


def openai_responses(server: Any, **more: Any) -> Any:
    return openai_client(server).responses.create(model=GPT, input="How is the weather?", **more)


async def openai_async(server: Any) -> None:
    async with openai.AsyncOpenAI(base_url=server.url("openai") + "/v1", api_key="x") as client:
        stream = await client.chat.completions.create(model=GPT, messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]


async def openai_cancelled(server: Any) -> None:
    """A task that is cancelled in the middle of a stream."""

    async def read() -> None:
        async with openai.AsyncOpenAI(base_url=server.url("openai") + "/v1", api_key="x") as client:
            async for _ in await client.chat.completions.create(model=GPT, messages=MESSAGES, stream=True):
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def openrouter(server: Any, **more: Any) -> Any:
    client = openai_client(server, "openrouter", "/api/v1")
    return client.chat.completions.create(model="openai/gpt-4o", messages=MESSAGES, **more)


def claude(server: Any, **more: Any) -> Any:
    client = anthropic.Anthropic(base_url=server.url("anthropic"), api_key="x", max_retries=0)
    return client.messages.create(model=CLAUDE, max_tokens=500, messages=MESSAGES, **more)


async def claude_async(server: Any) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=server.url("anthropic"), api_key="x") as client,
        client.messages.stream(model=CLAUDE, max_tokens=500, messages=MESSAGES) as stream,
    ):
        assert await stream.get_final_text()


def groq_chat(server: Any, **more: Any) -> Any:
    client = groq.Groq(base_url=server.url("groq"), api_key="x", max_retries=0)
    return client.chat.completions.create(model=LLAMA, messages=MESSAGES, **more)


def mistral(server: Any) -> Any:
    return mistralai.client.Mistral(api_key="x", server_url=server.url("mistral"))


def cohere_client(server: Any) -> Any:
    return cohere.ClientV2(api_key="x", base_url=server.url("cohere"))


def ollama_chat(server: Any, **more: Any) -> Any:
    return ollama.Client(host=server.url("ollama")).chat(model="llama3.2", messages=MESSAGES, **more)


def flux(server: Any) -> Any:
    client = replicate.Client(api_token="x", base_url=server.url("replicate"))
    client.poll_interval = 0.05
    return client.run(FLUX, input={"prompt": "a cat"})


def speak(server: Any) -> Any:
    return elevenlabs.ElevenLabs(api_key="x", base_url=server.url("elevenlabs")).text_to_speech.convert(**VOICE)


def fal(server: Any, verb: str) -> Any:
    for name in ("RUN_URL_FORMAT", "QUEUE_URL_FORMAT"):
        setattr(fal_client.client, name, server.url("fal") + "/")
    return getattr(fal_client.SyncClient(key="x"), verb)("fal-ai/flux/dev", arguments={"prompt": "a cat"})


CASES = {
    "openai/plain": openai_chat,
    "openai/plain responses": openai_responses,
    "openai/stream": lambda s: list(openai_chat(s, stream=True)),
    "openai/stream responses": lambda s: list(openai_responses(s, stream=True)),
    "openai/stream async": openai_async,
    "openai/early": lambda s: leave(openai_chat(s, stream=True)),
    "openai/early cancelled": openai_cancelled,
    "openai/error": openai_chat,
    "openrouter/plain": openrouter,
    "openrouter/stream": lambda s: list(openrouter(s, stream=True)),
    "openrouter/early": lambda s: leave(openrouter(s, stream=True)),
    "openrouter/error": openrouter,
    "anthropic/plain": claude,
    "anthropic/stream": lambda s: list(claude(s, stream=True)),
    "anthropic/stream async": claude_async,
    "anthropic/early": lambda s: leave(claude(s, stream=True)),
    "anthropic/error": claude,
    "groq/plain": groq_chat,
    "groq/stream": lambda s: list(groq_chat(s, stream=True)),
    "groq/early": lambda s: leave(groq_chat(s, stream=True)),
    "groq/error": groq_chat,
    "mistral/plain": lambda s: mistral(s).chat.complete(model=MISTRAL, messages=MESSAGES),
    "mistral/stream": lambda s: list(mistral(s).chat.stream(model=MISTRAL, messages=MESSAGES)),
    "mistral/early": lambda s: leave(mistral(s).chat.stream(model=MISTRAL, messages=MESSAGES)),
    "mistral/error": lambda s: mistral(s).chat.complete(model=MISTRAL, messages=MESSAGES),
    "cohere/plain": lambda s: cohere_client(s).chat(model=COMMAND, messages=MESSAGES),
    "cohere/stream": lambda s: list(cohere_client(s).chat_stream(model=COMMAND, messages=MESSAGES)),
    "cohere/early": lambda s: leave(cohere_client(s).chat_stream(model=COMMAND, messages=MESSAGES)),
    "cohere/error": lambda s: cohere_client(s).chat(model=COMMAND, messages=MESSAGES),
    "ollama/plain": ollama_chat,
    "ollama/stream": lambda s: list(ollama_chat(s, stream=True)),
    "ollama/early": lambda s: leave(ollama_chat(s, stream=True)),
    "ollama/error": ollama_chat,
    "replicate/plain": flux,
    "replicate/job": flux,
    "replicate/error": flux,
    "elevenlabs/stream": lambda s: b"".join(speak(s)),
    "elevenlabs/early": lambda s: leave(speak(s), after=0),
    "elevenlabs/error": lambda s: b"".join(speak(s)),
    "fal/plain": lambda s: fal(s, "run"),
    "fal/job": lambda s: fal(s, "subscribe"),
    "fal/error": lambda s: fal(s, "run"),
    **GOOGLE,
}
