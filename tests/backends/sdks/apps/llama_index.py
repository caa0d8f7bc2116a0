"""Calls through LlamaIndex."""

from __future__ import annotations

from typing import Any

from llama_index.llms.openai import OpenAI

QUESTION = "How is the weather?"


def gpt(server: Any) -> Any:
    return OpenAI(model="gpt-4o", api_base=server.url("openai") + "/v1", api_key="x", max_retries=0)


def leave(stream: Any) -> None:
    next(stream)
    next(stream)
    stream.close()


async def streamed(model: Any) -> None:
    assert [chunk async for chunk in await model.astream_complete(QUESTION)]


CASES = {
    "openai/plain": lambda s: gpt(s).complete(QUESTION),
    "openai/stream": lambda s: list(gpt(s).stream_complete(QUESTION)),
    "openai/stream async": lambda s: streamed(gpt(s)),
    "openai/early": lambda s: leave(gpt(s).stream_complete(QUESTION)),
    "openai/error": lambda s: gpt(s).complete(QUESTION),
}
