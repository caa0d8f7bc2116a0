"""An app that runs where others' instrumentations are installed: two calls with each of them, on a budget of one.

What it prints: one JSON line for each, with what the app got of its two calls and what the provider did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

import spectra_otel as spectra
from spectra_otel.demo.provider import LocalProvider

MESSAGES: Any = [{"role": "user", "content": "How is the weather?"}]
INSTRUMENTORS: dict[str, dict[str, Any]] = {
    "openai": {"genai": GenAIOpenAI, "openinference": OpenInferenceOpenAI, "openllmetry": OpenLLMetryOpenAI},
    "anthropic": {
        "genai": GenAIAnthropic,
        "openinference": OpenInferenceAnthropic,
        "openllmetry": OpenLLMetryAnthropic,
    },
}
PIPELINE = {"receivers": ["otlp"], "processors": ["usage", "cost", "budget"], "exporters": ["duckdb"]}
CONFIGURATION = {
    "receivers": {"otlp": {"protocols": {"http": None}}},
    "processors": {"usage": None, "cost": None, "budget": {"enforce_on_start": True}},
    "exporters": {"duckdb": None},
    "service": {"pipelines": {"traces": PIPELINE}},
}


def gpt(server: LocalProvider) -> None:
    with openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def claude(server: LocalProvider) -> None:
    with anthropic.Anthropic(base_url=server.url("anthropic"), api_key="x", max_retries=0) as client:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=500, messages=MESSAGES)


@contextmanager
def instrumented(provider: str, name: str) -> Iterator[None]:
    if name == "logfire":
        with getattr(logfire, f"instrument_{provider}")():
            yield
        return
    instrumentor = INSTRUMENTORS[provider][name]()
    instrumentor.instrument()
    try:
        yield
    finally:
        instrumentor.uninstrument()


def attempt(call: Callable[[LocalProvider], None], server: LocalProvider) -> str:
    try:
        call(server)
    except Exception as error:
        ours = (error, error.__cause__)
        return "blocked" if any(isinstance(one, spectra.BudgetExceededError) for one in ours) else repr(error)
    return "answered"


def main() -> None:
    logfire.configure(send_to_logfire=False, console=False)
    with LocalProvider() as server:  # whose hosts nobody names
        spectra.configure(CONFIGURATION)
        for provider, call in (("openai", gpt), ("anthropic", claude)):
            for name in (*INSTRUMENTORS[provider], "logfire"):
                spectra.budgets.set(f"{provider}-{name}", requests=1, period="total")
                server.ledger.clear()
                with instrumented(provider, name):
                    said = [attempt(call, server) for _ in range(2)]
                spectra.force_flush()
                [row] = spectra.budgets.status(f"{provider}-{name}")
                found = {"sent": len(server.ledger), "settled": row.settled_requests, "reserved": row.reserved_requests}
                print(json.dumps({"name": f"{provider}-{name}", "said": said, **found}))
                spectra.budgets.remove(f"{provider}-{name}")
    spectra.shutdown()


if __name__ == "__main__":
    main()
