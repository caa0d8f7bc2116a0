"""Calls through the OpenAI Agents SDK, with Responses and with chat completions."""

from __future__ import annotations

from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
QUESTION = "How is the weather?"


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent(server: Any, model: Any = OpenAIResponsesModel, **more: Any) -> Any:
    client = AsyncOpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0)
    return Agent(name="forecaster", model=model("gpt-4o", client), **more)


async def streamed(made: Any, stop: int = 1000) -> None:
    result = Runner.run_streamed(made, QUESTION)
    number = 0
    events = result.stream_events()
    async for _ in events:
        number += 1
        if number > stop:
            result.cancel()
            await events.aclose()
            break


CASES = {
    "openai/plain": lambda s: Runner.run_sync(agent(s), QUESTION),
    "openai/plain chat": lambda s: Runner.run_sync(agent(s, OpenAIChatCompletionsModel), QUESTION),
    "openai/plain tool": lambda s: Runner.run_sync(agent(s, tools=[weather]), QUESTION),
    "openai/stream": lambda s: streamed(agent(s)),
    "openai/stream chat": lambda s: streamed(agent(s, OpenAIChatCompletionsModel)),
    "openai/early": lambda s: streamed(agent(s), 4),
    "openai/error": lambda s: Runner.run_sync(agent(s), QUESTION),
}
