"""Where a request's output is limited, by the dialect it speaks, and what bounds make of where a call runs."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel import pricing
from spectra_otel.budgets import bounds
from spectra_otel.budgets.amounts import units

M = [{"role": "user", "content": "hi"}]
CAMEL, SNAKE, CONVERSE = "generationConfig", "generation_config", "inferenceConfig"
CONTENTS = [{"parts": [{"text": "hi"}]}]


@pytest.mark.parametrize(
    ("provider", "body", "limited"),
    [
        ("openai", {"messages": M}, {"max_completion_tokens": 50}),
        ("openai", {"messages": M, "max_tokens": 9000}, {"max_tokens": 50}),
        ("openai", {"messages": M, "max_tokens": 50}, {"max_tokens": 50}),
        ("openai", {"messages": M, "max_tokens": 8, "max_completion_tokens": 9}, {"max_tokens": 50, "max_completion_tokens": 50}),
        ("openai", {"input": "hi"}, {"max_output_tokens": 50}),
        ("openai", {"prompt": "hi"}, {"max_tokens": 50}),
        ("anthropic", {"messages": M, "max_tokens": 9000}, {"max_tokens": 50}),
        ("mistral", {"messages": M}, {"max_tokens": 50}),
        ("google", {"contents": CONTENTS}, {CAMEL: {"maxOutputTokens": 50}}),
        ("google", {"contents": CONTENTS, CAMEL: {"topK": 1}}, {CAMEL: {"topK": 1, "maxOutputTokens": 50}}),
        ("google", {"contents": CONTENTS, CAMEL: {"max_output_tokens": 9}}, {CAMEL: {"max_output_tokens": 50}}),
        ("google", {"contents": CONTENTS, SNAKE: {"topK": 1}},
         {SNAKE: {"topK": 1, "max_output_tokens": 50}}),
        ("google", {"input": "hi", SNAKE: {"max_output_tokens": 9}}, {SNAKE: {"max_output_tokens": 50}}),
        ("google", {"input": "hi"}, {SNAKE: {"max_output_tokens": 50}}),
        ("google", {"messages": M}, {"max_tokens": 50}),
        ("bedrock", {"messages": M}, {CONVERSE: {"maxTokens": 50}}),
        ("bedrock", {"messages": M, CONVERSE: {"maxTokens": 9, "topP": 1}}, {CONVERSE: {"maxTokens": 50, "topP": 1}}),
        ("bedrock", {"messages": M, "anthropic_version": "x", "max_tokens": 9}, {"anthropic_version": "x", "max_tokens": 50}),
        ("bedrock", {"inputText": "hi"}, {"textGenerationConfig": {"maxTokenCount": 50}}),
        ("ollama", {"messages": M, "options": {"num_predict": 9}}, {"options": {"num_predict": 50}}),
        ("ollama", {"messages": M, "options": {"seed": 1}}, {"options": {"seed": 1, "num_predict": 50}, "max_tokens": 50}),
        ("replicate", {"input": {"prompt": "hi", "max_tokens": 9}}, {"input": {"prompt": "hi", "max_tokens": 50}}),
        ("replicate", {"input": {"prompt": "hi"}}, {"input": {"prompt": "hi"}}),
    ],
)  # fmt: skip
def test_an_answer_is_limited_where_its_provider_reads_a_limit(
    provider: str, body: dict[str, Any], limited: dict[str, Any]
) -> None:
    """In the spelling that the body has already, and in that one alone."""
    found = bounds.with_output_limit(body, 50, provider)
    said = {"messages", "contents", "prompt", "inputText"} | (
        {"input"} if isinstance(body.get("input"), str) else set()
    )
    assert {name: value for name, value in found.items() if name not in said} == limited


VERTEX = "/v1/projects/p/locations/europe-west1/publishers/anthropic/models/claude-opus-4-6:streamRawPredict"


@pytest.mark.parametrize(
    ("provider", "model", "more", "endpoint", "region", "times"),
    [
        ("openai", "gpt-5.5", {}, "/v1/responses", "eu", 11),
        ("openai", "gpt-4o", {}, "/v1/responses", "eu", 10),
        ("openai", "gpt-4o", {}, "/v1/responses", "gov", 11),
        ("anthropic", "claude-opus-4-6", {"inference_geo": "us"}, "/v1/messages", None, 11),
        ("anthropic", "claude-opus-4-5", {"inference_geo": "global"}, "/v1/messages", None, 10),
        ("xai", "grok-4.6", {}, "/v1/chat/completions", "us", 11),
        ("vertex", "claude-opus-4-6", {}, VERTEX, "europe-west1", 11),
    ],
)
def test_a_stream_of_a_region_is_extended_at_the_prices_there(
    provider: str, model: str, more: dict[str, Any], endpoint: str, region: str | None, times: int
) -> None:
    """Its bound, each step of it, and what it is charged if nobody hears of its end: what is settled has the same tenth."""

    def request(more: dict[str, Any], endpoint: str, region: str | None) -> bounds.Request:
        body = {"model": model, "messages": [{"role": "user", "content": "hi" * 2000}], "stream": True, **more}
        return bounds.Request(provider, model, "text", "standard", body, 0, "", endpoint, region)

    def step(request: bounds.Request) -> tuple[int, int]:
        bound = bounds.upper_bound(request)
        assert bound.grows
        return bounds.upper_bound(request, cap=bound.output + 10_000).amount.cost - bound.amount.cost, bound.floor.cost

    there, anywhere = step(request(more, endpoint, region)), step(request(dict.fromkeys(more, "global"), "", None))
    assert there[0] * 10 == anywhere[0] * times
    settled = {
        "prompt_tokens": 0,
        "completion_tokens": 10_000,
        "endpoint": endpoint,
        "usage_raw": {"inference_geo": region} | more,
    }
    cost = pricing.calculate(provider, model, settled).total_cost_in_cents
    assert cost is not None
    assert there[0] == units(cost)
    assert there[1] * 10 == pytest.approx(anywhere[1] * times, rel=0.01)
    if provider == "anthropic":  # where the request does not say, its workspace may
        assert step(request({}, endpoint, None))[0] == there[0]


def test_an_answer_is_not_cut_below_the_thoughts_that_are_asked_for() -> None:
    """The provider would refuse it."""
    assert bounds.least_output({"thinking": {"type": "enabled", "budget_tokens": 1024}}) == 1025
    assert bounds.least_output({"thinking": {"type": "adaptive"}}) == bounds.least_output({}) == 16
