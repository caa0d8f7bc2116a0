"""Calls through LiteLLM, with and without its own OpenTelemetry callback."""

from __future__ import annotations

import os
import time
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no look-up on the network

import litellm
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

MESSAGES = [{"role": "user", "content": "How is the weather?"}]


def gpt(server: Any, **more: Any) -> Any:
    home = server.url("openai") + "/v1"
    return litellm.completion(
        "openai/gpt-4o", MESSAGES, api_base=home, api_key="x", num_retries=0, max_retries=0, **more
    )


async def gpt_async(server: Any, **more: Any) -> None:
    home = server.url("openai") + "/v1"
    stream: Any = await litellm.acompletion("openai/gpt-4o", MESSAGES, api_base=home, api_key="x", stream=True, **more)
    assert [chunk async for chunk in stream]


def claude(server: Any, **more: Any) -> Any:
    home = server.url("anthropic")
    return litellm.completion(
        "anthropic/claude-sonnet-4-5", MESSAGES, api_base=home, api_key="x", num_retries=0, **more
    )


def with_callback(call: Any) -> Any:
    """With LiteLLM's own spans, which it makes on a thread after the call."""

    def run(server: Any) -> None:
        litellm.callbacks = [OpenTelemetry(config=OpenTelemetryConfig(exporter="console"))]
        try:
            list(call(server, stream=True))
            call(server)
            time.sleep(1)
        finally:
            litellm.callbacks = []

    return run


def leave(stream: Any) -> None:
    next(iter(stream))
    next(iter(stream))
    del stream


CASES = {
    "openai/plain": gpt,
    "openai/stream": lambda s: list(gpt(s, stream=True)),
    "openai/stream async": gpt_async,
    "openai/plain its own spans": with_callback(gpt),
    "anthropic/plain its own spans": with_callback(claude),
    "openai/early": lambda s: leave(gpt(s, stream=True)),
    "openai/error": gpt,
    "anthropic/plain": claude,
    "anthropic/stream": lambda s: list(claude(s, stream=True)),
    "anthropic/early": lambda s: leave(claude(s, stream=True)),
    "anthropic/error": claude,
}
