"""Answers that an app holds, of every provider and format, told by their shape."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel.providers import registry
from spectra_otel.providers.values import Values
from spectra_otel.tracking.reading import read_answer, read_usage, reader_of
from tests.providers.examples import EXAMPLES

ROWS = [
    (provider.name, row.template, EXAMPLES[type(row.format)])
    for provider in registry.built_in().by_name.values()
    for row in provider.endpoints
    if row.method == "POST"
    and (provider.name, row.template)
    not in (("bedrock", "/async-invoke"), ("bedrock", "/rerank"))  # told by the request alone
    and type(row.format) in EXAMPLES
    and isinstance(EXAMPLES[type(row.format)].answer, dict)
]
ASKED = {"duration_seconds", "input_characters"}
"""What the request alone may tell."""
COUNTS = ("_tokens", "_count", "_units", "pages", "seconds")


@pytest.mark.parametrize(("provider", "template", "example"), ROWS, ids=[f"{row[0]}{row[1]}" for row in ROWS])
def test_an_answer_is_known_by_its_shape(provider: str, template: str, example: Any) -> None:
    """Whatever endpoint it came from: what it counts is what our own instrumentors read of it."""
    values: Values = {"provider": provider, "model": "m"}
    read_answer(example.answer if example.pending is None else example.done or example.answer, values)
    want = {name: count for name, count in example.want.items() if name.endswith(COUNTS)}
    assert {name: values.get(name) for name in want.keys() - ASKED} == {
        name: want[name] for name in want.keys() - ASKED
    }


GROK = {"prompt_tokens": 10, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 6}}


@pytest.mark.parametrize(
    ("provider", "body", "want"),
    [
        ("xai", {"id": "c", "choices": [], "usage": GROK}, {"completion_tokens": 10, "reasoning_tokens": 6}),
        ("openai", {"id": "c", "choices": [], "usage": GROK}, {"completion_tokens": 4}),
        ("openrouter", {"choices": [], "usage": {"prompt_tokens": 1, "cost": 0.5}}, {"total_cost_in_cents": 50}),
        ("groq", {"id": "c", "choices": [], "service_tier": "on_demand"}, {"pricing_tier": "standard"}),
        ("deepgram", {"metadata": {"duration": 9.5}, "results": {}}, {"duration_seconds": 9.5}),
        ("mistral", {"results": [{"categories": {}}]}, {"model_type": "moderation", "total_cost_in_cents": None}),
        ("my-own", {"stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 2}}, {"prompt_tokens": 3}),
        ("my-own", {"unheard": True}, {"prompt_tokens": None, "model_type": None}),
    ],
)
def test_a_providers_own_way_to_count_holds(provider: str, body: dict[str, Any], want: dict[str, Any]) -> None:
    """Two providers send one shape and mean two things by it."""
    values: Values = {"provider": provider}
    read_answer(body, values)
    assert {name: values.get(name) for name in want} == want


@pytest.mark.parametrize(
    ("provider", "usage", "want"),
    [
        ("xai", GROK, {"completion_tokens": 10}),
        ("deepseek", {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, {"cached_tokens": 4}),
        ("bedrock", {"inputTokens": 9, "outputTokens": 1, "cacheReadInputTokens": 4}, {"prompt_tokens": 13}),
        ("cohere", {"billed_units": {"input_tokens": 9.0, "output_tokens": 1.0}}, {"prompt_tokens": 9}),
        (
            "openai",
            {"prompt_tokens": 9, "completion_tokens": 1, "image_count": 2},
            {"image_count": 2, "prompt_tokens": 9},
        ),
    ],
)
def test_usage_given_apart_is_read_as_its_provider_means_it(
    provider: str, usage: dict[str, Any], want: dict[str, Any]
) -> None:
    """Under the record's names, or as the object that the provider sent."""
    values: Values = {"provider": provider}
    read_usage(usage, values)
    assert {name: values.get(name) for name in want} == want


@pytest.mark.parametrize(
    ("provider", "chunks", "want"),
    [
        ("ollama", [{"model": "m", "done": False}, {"model": "m", "done": True, "prompt_eval_count": 3, "eval_count": 2}],
         {"prompt_tokens": 3, "completion_tokens": 2}),
        ("cohere", [{"type": "message-start", "id": "c"}, {"type": "message-end", "delta": {
            "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}}}}], {"prompt_tokens": 3}),
        ("bedrock", [{"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "end_turn"}},
                     {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2}}}], {"prompt_tokens": 3}),
        ("xai", [{"id": "c", "choices": [{"finish_reason": "stop"}]}, {"choices": [], "usage": GROK}], {"completion_tokens": 10}),
    ],
)  # fmt: skip
def test_a_stream_is_known_by_its_first_chunk(
    provider: str, chunks: list[dict[str, Any]], want: dict[str, Any]
) -> None:
    """Of providers that do not speak as OpenAI does, too."""
    reader = reader_of(chunks[0], {"provider": provider})
    assert reader is not None
    for chunk in chunks:
        reader.event(chunk)
    found = reader.finish()
    assert reader.complete
    assert {name: found.get(name) for name in want} == want
