"""Where a request's output is limited, by the dialect it speaks."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel.budgets import bounds

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


def test_an_answer_is_not_cut_below_the_thoughts_that_are_asked_for() -> None:
    """The provider would refuse it."""
    assert bounds.least_output({"thinking": {"type": "enabled", "budget_tokens": 1024}}) == 1025
    assert bounds.least_output({"thinking": {"type": "adaptive"}}) == bounds.least_output({}) == 16
