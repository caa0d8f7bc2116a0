"""Two instrumentations of somebody else beside ours on the same calls."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"

import anthropic
import logfire
import openai
from openinference.instrumentation.anthropic import AnthropicInstrumentor as OpenInferenceAnthropic
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInferenceOpenAI
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor as OpenLLMetryAnthropic
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor as GenAIAnthropic
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as GenAIOpenAI
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetryOpenAI

MESSAGES: Any = [{"role": "user", "content": "How is the weather?"}]
INSTRUMENTORS = {
    "openai": {"genai": GenAIOpenAI, "openinference": OpenInferenceOpenAI, "openllmetry": OpenLLMetryOpenAI, "logfire": None},
    "anthropic": {
        "genai": GenAIAnthropic, "openinference": OpenInferenceAnthropic, "openllmetry": OpenLLMetryAnthropic, "logfire": None,
    },
}  # fmt: skip
logfire.configure(send_to_logfire=False, console=False)


def gpt(server: Any, **more: Any) -> Any:
    client = openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0)
    return client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **more)


def claude(server: Any, **more: Any) -> Any:
    client = anthropic.Anthropic(base_url=server.url("anthropic"), api_key="x", max_retries=0)
    return client.messages.create(model="claude-sonnet-4-5", max_tokens=500, messages=MESSAGES, **more)


def beside(provider: str, names: tuple[str, ...], call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``call`` with these instrumentations active."""

    def run(server: Any) -> None:
        stops = []
        for name in names:
            if name == "logfire":
                done = getattr(logfire, f"instrument_{provider}")()
                done.__enter__()
                stops.append(lambda done=done: done.__exit__(None, None, None))
            else:
                instrumentor = INSTRUMENTORS[provider][name]()
                instrumentor.instrument()
                stops.append(instrumentor.uninstrument)
        try:
            call(server)
        finally:
            for stop in reversed(stops):
                stop()

    return run


def drained(call: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda server: list(call(server, stream=True))


CASES = {
    f"{provider}/{how} {' + '.join(names)}": beside(provider, names, call if how == "plain" else drained(call))
    for provider, call in (("openai", gpt), ("anthropic", claude))
    for count in (1, 2)
    for names in itertools.combinations(INSTRUMENTORS[provider], count)
    for how in ("plain", "stream")
}
