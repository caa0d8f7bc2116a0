"""What a call can cost before it is made: never more than the upper bound, never less than the lower one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_otel.pricing import Pricer, calculate, estimate_request
from spectra_otel.pricing.bounds import Ceilings

AT = date(2026, 11, 21)
HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}


def bounds(provider: str, body: dict[str, Any], **more: Any) -> tuple[Decimal, Decimal]:
    found = estimate_request(provider, body, at=AT, **more)
    assert found.lower_in_cents is not None
    assert found.upper_in_cents is not None, found.unbounded
    return found.lower_in_cents, found.upper_in_cents


def test_a_call_costs_between_its_bounds() -> None:
    """The text of the body bounds the prompt, its limit the answer."""
    lower, upper = bounds("openai", HELLO)
    cost = calculate("openai", "gpt-4o", {"prompt_tokens": 8, "completion_tokens": 100}, at=AT).total_cost_in_cents
    assert cost is not None
    assert 0 < lower <= cost <= upper
    assert upper < 1  # a bound that is of use: the overhead of 1,000 tokens and the answer


def test_what_is_sent_may_be_no_text() -> None:
    """The least a recording costs is not that of as many bytes of text."""
    found = estimate_request("openai", {}, model="gpt-4o-transcribe", size=300_000, at=AT)
    cost = calculate("openai", "gpt-4o-transcribe", {"prompt_tokens": 14, "completion_tokens": 10}, at=AT)
    assert found.lower_in_cents is not None
    assert 0 < found.lower_in_cents <= (cost.total_cost_in_cents or 0)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), most=st.integers(1, 4000), cached=st.booleans())
def test_any_tokenization_lies_between_the_bounds(text: str, most: int, cached: bool) -> None:
    """From one token for 128 bytes, all cached, to one for each byte."""
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": text}], "max_tokens": most}
    lower, upper = bounds("anthropic", body)
    for tokens in (-(-len(text.encode()) // 128) + 1, len(text.encode()) + 20):
        usage = {"prompt_tokens": tokens, "cached_tokens": tokens if cached else 0, "completion_tokens": most}
        cost = calculate("anthropic", "claude-sonnet-4-5", usage, at=AT).total_cost_in_cents
        assert cost is not None
        assert lower <= cost <= upper


def test_an_answer_without_a_limit_is_bounded_by_the_model() -> None:
    """gpt-4o answers with 16,384 tokens at most, and each of several answers may be as long."""
    found = estimate_request("openai", HELLO | {"max_tokens": None, "n": 2}, at=AT)
    assert found.completion_tokens == 2 * 16_384


def test_an_image_is_bounded_by_the_dearest_rule_and_a_file_by_the_context() -> None:
    """Each image counts once, however it is nested; what has no bound of its own takes the whole window."""
    text = {"type": "text", "text": "what is it?"}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    inline = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9000}
    file = {"type": "file", "file": {"file_id": "file-1"}}

    def most(*parts: dict[str, Any]) -> int | None:
        return estimate_request(
            "openai", HELLO | {"messages": [{"role": "user", "content": [text, *parts]}]}, at=AT
        ).prompt_tokens

    assert 50_000 < (most(image) or 0) < 52_000
    assert 100_000 < (most(image, inline) or 0) < 102_000
    assert most(*[image] * 9) == most(file) == 128_000


def test_a_property_named_image_is_no_image() -> None:
    """A function's schema describes data, it holds none."""
    schema = {"type": "object", "properties": {"image": {"type": "string"}, "file": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "draw", "parameters": schema}}
    found = estimate_request("openai", HELLO | {"tools": [tool]}, at=AT)
    assert (found.prompt_tokens or 0) < 2000


def test_what_nothing_limits_is_bounded_by_the_callers_ceilings() -> None:
    """Budgets must have a bound: a model that no list knows, a search without `max_uses`, a recording of unknown length."""
    ceilings = Ceilings(context=1_000_000, output=100_000, tool_calls=10, pages=1_000)
    unknown = estimate_request("nobody", {"model": "new", "input": "hi"}, at=AT, ceilings=ceilings)
    assert (unknown.completion_tokens, unknown.upper_in_cents) == (100_000, None)
    tool = {"type": "web_search_20250305", "name": "web_search"}
    body = {"model": "claude-sonnet-4-5", "messages": [], "max_tokens": 1, "tools": [tool]}
    assert (bounds("anthropic", body, ceilings=ceilings)[1]) > 10
    assert bounds("openai", {"model": "whisper-1", "file": b""}, size=3_000_000)[1] == Decimal("60")
    assert bounds("mistral", {"model": "mistral-ocr-latest"}, ceilings=ceilings)[1] >= 100


def test_a_recording_at_an_address_has_no_bound() -> None:
    """Its length is not that of the request."""
    body = {"model_id": "scribe_v1", "cloud_storage_url": "https://example.com/a.mp3"}
    found = estimate_request("elevenlabs", body, model="scribe_v1", size=300, at=AT)
    assert found.upper_in_cents is None
    assert found.unbounded == ("the body does not say how much stt there will be",)


def test_tools_of_the_providers_own_have_descriptions_that_the_body_does_not_hold() -> None:
    """Anthropic counts them as prompt."""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 200, "messages": [{"role": "user", "content": "Weather?"}]}
    tool = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    found = estimate_request("anthropic", body | {"tools": [tool]}, at=AT)
    assert (found.prompt_tokens or 0) > 1_595  # what one such call was billed for


def test_a_limit_of_4096_in_a_list_is_not_relied_on() -> None:
    """Lists have it for gpt-4, whose answers may fill its window of 8,192 tokens."""
    assert estimate_request("openai", {"model": "gpt-4", "messages": []}, at=AT).completion_tokens == 8_192


def test_a_batch_or_a_priority_call_is_bounded_at_its_own_price() -> None:
    """Priority is dearer; flex is bounded by the standard price, at which it may be served."""
    standard, priority, flex = (
        bounds("openai", {"model": "gpt-5", "input": "hi", "max_output_tokens": 9, "service_tier": tier})[1]
        for tier in ("default", "priority", "flex")
    )
    assert Decimal("1.99") < priority / standard < Decimal("2.01")
    assert Decimal("0.99") < flex / standard <= 1


@pytest.mark.parametrize(
    ("provider", "body", "lower", "upper"),
    [
        ("openai", {"model": "dall-e-3", "prompt": "a cat", "size": "1024x1792", "quality": "hd", "n": 2}, "24", "24"),
        ("openai", {"model": "dall-e-3", "prompt": "a cat", "size": "1024x1024"}, "4", "8"),
        ("openai", {"model": "tts-1", "input": "x" * 1000, "voice": "alloy"}, "1.5", "1.5"),
        ("openai", {"model": "sora-2", "prompt": "a cat", "seconds": "8", "size": "1280x720"}, "80", "80"),
        ("cohere", {"model": "rerank-v3.5", "query": "q", "documents": ["a"] * 101}, "0.4", "0.4"),
        ("openai", {"model": "omni-moderation-latest", "input": "x"}, "0", "0"),
        (
            "bedrock",
            {"modelId": "amazon.titan-image-generator-v2:0", "imageGenerationConfig": {"numberOfImages": 5}},
            "4",
            "6",
        ),
    ],
)  # fmt: skip
def test_media_is_bounded_by_what_the_body_asks_for(
    provider: str, body: dict[str, Any], lower: str, upper: str
) -> None:
    """Images by size and quality, speech by character, video by second, reranking by search."""
    assert bounds(provider, body) == (Decimal(lower), Decimal(upper))


@pytest.mark.parametrize(
    ("provider", "body", "usage"),
    [
        ("openai", {"model": "text-embedding-3-small", "input": ["word " * 1_600] * 100}, {"prompt_tokens": 160_000}),
        (
            "openai",
            {"model": "gpt-3.5-turbo-instruct", "prompt": ["hi"] * 20, "max_tokens": 500},
            {"prompt_tokens": 20, "completion_tokens": 20 * 500},
        ),
        (
            "openai",
            {"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "max_tokens": 500, "n": 1, "best_of": 20},
            {"prompt_tokens": 1, "completion_tokens": 20 * 500},
        ),
        (
            "openai",
            {"model": "gpt-4o-search-preview", "messages": [], "max_tokens": 5},
            {"prompt_tokens": 8, "completion_tokens": 5, "tool_call_counts": {"web_search": 1}},
        ),
        (
            "voyage",
            {"model": "rerank-2.5", "query": "word " * 1_000, "documents": ["word"] * 500},
            {"prompt_tokens": 500 * 1_001},
        ),
        (
            "voyage",
            {"model": "rerank-2.5", "query": "q", "documents": [{"url": "https://a.b", "text": "word " * 30_000}] * 5},
            {"prompt_tokens": 5 * 30_000},
        ),
        (
            "mistral",
            {"model": "mistral-ocr-2512", "pages": [0, 1], "bbox_annotation_format": {"type": "json_schema"}},
            {"pages": 2, "tool_call_counts": {"annotation": 2}},
        ),
    ],
)
def test_each_of_many_texts_is_bounded_by_a_window_of_its_own(
    provider: str, body: dict[str, Any], usage: dict[str, Any]
) -> None:
    """Lists of texts, of prompts with an answer each, documents that are read with the query, a search that nobody asks for."""
    cost = calculate(provider, body["model"], usage, at=AT).total_cost_in_cents
    assert cost is not None
    assert cost <= bounds(provider, body)[1]


def test_searches_are_bounded_where_the_body_bounds_them() -> None:
    """Without `max_uses` nobody knows how often a model searches."""
    tool = {"type": "web_search_20250305", "name": "web_search"}
    body = {"model": "claude-sonnet-4-5", "messages": [], "max_tokens": 1, "tools": [tool | {"max_uses": 3}]}
    without = bounds("anthropic", body | {"tools": []})[1]
    assert bounds("anthropic", body)[1] >= without + 3
    open_ended = estimate_request("anthropic", body | {"tools": [tool]}, at=AT)
    assert open_ended.upper_in_cents is None
    assert "web_search" in open_ended.unbounded[0]


@pytest.mark.parametrize(
    ("provider", "more", "reason"),
    [
        ("anthropic", {"tools": [{"type": "advisor_20260301", "model": "claude-opus-5"}]}, "the advisor is a model of its own"),
        ("anthropic", {"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compactions are billed beside"),
        ("openrouter", {"plugins": [{"id": "web"}]}, "plugins are billed beside the answer"),
        ("openai", {"tools": [{"type": "image_generation"}], "max_tool_calls": 1}, "images are drawn by a model of its own"),
    ],
)  # fmt: skip
def test_what_is_billed_beside_the_answer_has_no_bound(provider: str, more: dict[str, Any], reason: str) -> None:
    """The body does not say how much of it there will be."""
    model = {"anthropic": "claude-opus-5", "openrouter": "openai/gpt-4o", "openai": "gpt-5"}[provider]
    found = estimate_request(provider, {"model": model, "max_tokens": 9, "messages": [], **more})
    assert found.upper_in_cents is None
    assert found.unbounded[0].startswith(reason)


@pytest.mark.parametrize(
    ("provider", "model", "body", "raw", "path"),
    [
        ("anthropic", "claude-opus-5", {"inference_geo": "us"}, {"inference_geo": "us"}, "/v1/messages"),
        ("vertex", "claude-sonnet-4-5", {}, {"input_tokens": 1}, "/v1/projects/p/locations/us-east5/publishers/x:rawPredict"),
    ],
)  # fmt: skip
def test_the_place_of_a_call_is_in_its_bound(
    provider: str, model: str, body: dict[str, Any], raw: dict[str, Any], path: str
) -> None:
    """An answer as long as it may be, at the prices of one region, costs no more than the bound."""
    usage = {"prompt_tokens": 1, "completion_tokens": 100_000, "usage_raw": raw, "endpoint": path}
    cost = calculate(provider, model, usage, at=AT).total_cost_in_cents
    asked = {"model": model, "max_tokens": 100_000, "messages": [{"role": "user", "content": "x"}], **body}
    found = estimate_request(provider, asked, endpoint=path, at=AT)
    assert cost is not None
    assert found.upper_in_cents is not None
    assert found.upper_in_cents >= cost
    assert found.upper_in_cents < cost * 2


@pytest.mark.parametrize("size", [{"image_size": {"width": 4096, "height": 4096}}, {"width": 4096, "height": 4096}])
def test_a_size_may_be_two_numbers(size: dict[str, Any]) -> None:
    """What is sold by the megapixel is bounded by those asked for."""
    usage = {"image_count": 1, "image_size": "4096x4096"}
    models = [e.model for e in Pricer().catalog.entries("fal") if any("megapixel" in o.rates for o in e.offers)]
    for model in models:
        cost = calculate("fal", model, usage).total_cost_in_cents
        assert estimate_request("fal", {"prompt": "x", **size}, model=model).upper_in_cents == cost, model
    assert models


def test_a_model_that_reads_what_it_likes_has_no_bound() -> None:
    """Perplexity's deep research bills what it searched and read."""
    found = estimate_request("perplexity", {"model": "sonar-deep-research", "messages": [], "max_tokens": 9})
    assert found.upper_in_cents is None
    assert found.unbounded == ("the model searches and reads as much as it likes",)


def test_the_model_may_stand_in_the_path() -> None:
    """As Gemini, Bedrock and Azure have it."""
    body = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 10}}
    path = "/v1beta/models/gemini-2.5-pro:generateContent"
    assert estimate_request("google", body, endpoint=path, at=AT).completion_tokens == 10
    bedrock = {"messages": [], "inferenceConfig": {"maxTokens": 7}}
    path = "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/converse"
    assert estimate_request("bedrock", bedrock, endpoint=path, at=AT).completion_tokens == 7


def test_a_model_without_a_price_has_no_bounds() -> None:
    """And the reason is said."""
    found = estimate_request("openai", {"model": "gpt-4ox"}, at=AT)
    assert not found.is_bounded
    assert found.unbounded == ("no price is known for openai/gpt-4ox",)


@pytest.mark.parametrize(
    "body", [{}, {"model": 7}, {"model": "gpt-4o", "messages": "x", "max_tokens": "many", "tools": {}, "n": -1}]
)
def test_no_body_makes_it_fail(body: dict[str, Any]) -> None:
    """Whatever a body holds, there is an answer."""
    assert estimate_request("openai", body, at=AT).price_version
