"""Calls through Instructor, which asks for a tool call and reads it as a model of Pydantic.

It reads a stream to its end before the app gets any of it.
"""

from __future__ import annotations

from typing import Any

import anthropic
import instructor
import openai
from pydantic import BaseModel

MESSAGES: Any = [{"role": "user", "content": "Where is it sunny?"}]


class Place(BaseModel):
    city: str


def gpt(server: Any) -> Any:
    return instructor.from_openai(openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0))


def claude(server: Any) -> Any:
    return instructor.from_anthropic(anthropic.Anthropic(base_url=server.url("anthropic"), api_key="x", max_retries=0))


def ask(client: Any, model: str, how: str = "create") -> Any:
    more = {"max_tokens": 500} if model.startswith("claude") else {}
    return getattr(client.chat.completions, how)(
        model=model, messages=MESSAGES, response_model=Place, max_retries=1, **more
    )


CASES = {
    "openai/plain": lambda s: ask(gpt(s), "gpt-4o"),
    "openai/stream": lambda s: list(ask(gpt(s), "gpt-4o", "create_partial")),
    "openai/error": lambda s: ask(gpt(s), "gpt-4o"),
    "anthropic/plain": lambda s: ask(claude(s), "claude-sonnet-4-5"),
    "anthropic/stream": lambda s: list(ask(claude(s), "claude-sonnet-4-5", "create_partial")),
    "anthropic/error": lambda s: ask(claude(s), "claude-sonnet-4-5"),
}
