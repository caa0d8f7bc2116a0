"""Calls through LangChain's chat models and one of its agents."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

QUESTION = "How is the weather?"


def gpt(server: Any) -> Any:
    return ChatOpenAI(model="gpt-4o", base_url=server.url("openai") + "/v1", api_key="x", max_retries=0)


def claude(server: Any) -> Any:
    return ChatAnthropic(model="claude-sonnet-4-5", base_url=server.url("anthropic"), api_key="x", max_retries=0)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def leave(stream: Any) -> None:
    next(stream)
    next(stream)
    stream.close()


async def streamed(model: Any) -> None:
    assert [chunk async for chunk in model.astream(QUESTION)]


CASES = {
    "openai/plain": lambda s: gpt(s).invoke(QUESTION),
    "openai/plain agent": lambda s: create_agent(gpt(s), [weather]).invoke({"messages": [("user", QUESTION)]}),
    "openai/stream": lambda s: list(gpt(s).stream(QUESTION)),
    "openai/stream async": lambda s: streamed(gpt(s)),
    "openai/early": lambda s: leave(gpt(s).stream(QUESTION)),
    "openai/error": lambda s: gpt(s).invoke(QUESTION),
    "anthropic/plain": lambda s: claude(s).invoke(QUESTION),
    "anthropic/stream": lambda s: list(claude(s).stream(QUESTION)),
    "anthropic/early": lambda s: leave(claude(s).stream(QUESTION)),
    "anthropic/error": lambda s: claude(s).invoke(QUESTION),
}
