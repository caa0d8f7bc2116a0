"""Calls through Pydantic AI, with its own spans beside ours."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

QUESTION = "How is the weather?"


def gpt(server: Any, model: Any = OpenAIChatModel) -> Any:
    client = AsyncOpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0)
    return Agent(model("gpt-4o", provider=OpenAIProvider(openai_client=client)))


def claude(server: Any) -> Any:
    client = AsyncAnthropic(base_url=server.url("anthropic"), api_key="x", max_retries=0)
    return Agent(AnthropicModel("claude-sonnet-4-5", provider=AnthropicProvider(anthropic_client=client)))


def spoken(agent: Any) -> Any:
    agent.instrument = True
    return agent


async def streamed(agent: Any, stop: int = 1000) -> None:
    async with agent.run_stream(QUESTION) as result:
        number = 0
        async for _ in result.stream_text(delta=True, debounce_by=None):
            number += 1
            if number > stop:
                break


CASES = {
    "openai/plain": lambda s: gpt(s).run_sync(QUESTION),
    "openai/plain its own spans": lambda s: spoken(gpt(s)).run_sync(QUESTION),
    "openai/plain responses": lambda s: gpt(s, OpenAIResponsesModel).run_sync(QUESTION),
    "openai/stream": lambda s: streamed(gpt(s)),
    "openai/stream its own spans": lambda s: streamed(spoken(gpt(s))),
    "openai/early": lambda s: streamed(gpt(s), 1),
    "openai/error": lambda s: gpt(s).run_sync(QUESTION),
    "anthropic/plain": lambda s: claude(s).run_sync(QUESTION),
    "anthropic/plain its own spans": lambda s: spoken(claude(s)).run_sync(QUESTION),
    "anthropic/stream": lambda s: streamed(claude(s)),
    "anthropic/early": lambda s: streamed(claude(s), 1),
    "anthropic/error": lambda s: claude(s).run_sync(QUESTION),
}
