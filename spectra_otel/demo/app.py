"""An ordinary app that calls OpenAI and Anthropic with their own SDKs. It knows nothing of Spectra.

`spectra demo` runs it through `spectra run`, against a local provider. With real keys in the environment it runs as well
against the real ones: ``spectra run -- python -m spectra_otel.demo.app``.
"""

from __future__ import annotations

from typing import Any

import anthropic
import openai
from opentelemetry import trace

HANDBOOK = "Travel handbook. " + "Trains leave every hour; a day ticket pays off from the third ride on. " * 120
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

tracer = trace.get_tracer("demo")


def main() -> None:
    """Make a day's calls, one of each kind."""
    gpt, claude = openai.OpenAI(), anthropic.Anthropic()
    chat(gpt)
    chat_streamed(gpt)
    chat_cached(gpt)
    reason(gpt)
    embed(gpt)
    agent(gpt)
    claude_cached(claude)
    claude_streamed(claude)
    failing(gpt)


def chat(gpt: openai.OpenAI) -> None:
    """A plain answer."""
    gpt.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Where is Lisbon?"}])


def chat_streamed(gpt: openai.OpenAI) -> None:
    """A streamed one; the app does not ask for usage."""
    stream = gpt.chat.completions.create(
        model="gpt-4o", stream=True, messages=[{"role": "user", "content": "Tell me of Lisbon."}]
    )
    "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def chat_cached(gpt: openai.OpenAI) -> None:
    """The same long prompt twice: the second is read from the provider's cache."""
    for _ in range(2):
        gpt.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "system", "content": HANDBOOK}, {"role": "user", "content": "Which ticket?"}],
        )


def reason(gpt: openai.OpenAI) -> None:
    """A reasoning model through the Responses API: part of what it bills is never shown."""
    gpt.responses.create(model="o3", input="Which ticket is cheapest for five rides?")


def embed(gpt: openai.OpenAI) -> None:
    """An embedding: less than a thousandth of a cent."""
    gpt.embeddings.create(model="text-embedding-3-small", input=["Lisbon", "Porto"])


def agent(gpt: openai.OpenAI) -> None:
    """An agent of two steps: the model asks for a tool, gets its result, answers. Two calls beneath one span."""
    messages: list[Any] = [{"role": "user", "content": "Do I need an umbrella in Lisbon?"}]
    with tracer.start_as_current_span("invoke_agent weather"):
        step: Any = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])  # type: ignore[list-item]
        messages.append(step.choices[0].message)
        for call in step.choices[0].message.tool_calls or ():
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny, 24 °C"})
        gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])  # type: ignore[list-item]


def claude_cached(claude: anthropic.Anthropic) -> None:
    """A cached system prompt: the first call writes the cache, which costs more; the second reads it, which costs less."""
    for question in ("Which ticket?", "When is the next train?"):
        claude.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=200,
            system=[{"type": "text", "text": HANDBOOK, "cache_control": {"type": "ephemeral"}}],
            messages=[{"role": "user", "content": question}],
        )


def claude_streamed(claude: anthropic.Anthropic) -> None:
    """A streamed answer through the SDK's own helper."""
    with claude.messages.stream(
        model="claude-haiku-5-5", max_tokens=200, messages=[{"role": "user", "content": "Tell me of Porto."}]
    ) as stream:
        stream.get_final_text()


def failing(gpt: openai.OpenAI) -> None:
    """A call that the provider refuses, and does not bill. (The header makes the local provider refuse it.)"""
    try:
        gpt.with_options(max_retries=0).chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "One too many."}],
            extra_headers={"x-demo-error": "429"},
        )
    except openai.RateLimitError:
        print("one call was refused with 429")


if __name__ == "__main__":
    main()
