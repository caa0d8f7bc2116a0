"""What of the usage is charged at which rate, and what the status says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from spectra_otel.pricing import Cost, calculate, estimate, estimate_request
from spectra_otel.pricing.cost import Priced, PriceLabel
from spectra_otel.pricing.plan import Plan
from spectra_otel.pricing.units import parse_rate


def priced(model_type: str, rates: dict[str, str], **usage: Any) -> Cost:
    plan = Plan(model_type, {meter: parse_rate(meter.partition(" ")[0], text) for meter, text in rates.items()})
    return Priced(plan, PriceLabel("catalog", "p/m", "v", False)).cost(usage)


def cents(cost: Cost) -> str:
    return f"{cost.total_cost_in_cents.normalize():f}" if cost.total_cost_in_cents is not None else "unknown"


TEXT = {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6"}
AUDIO = {"input": "2.5", "output": "10", "cache_read": "1.25", "audio_input": "40", "audio_output": "80"}


def test_cached_and_written_tokens_are_parts_of_the_prompt() -> None:
    """10k of prompt: 3k plain, 4k read, 2k written for five minutes and 1k for an hour."""
    cost = priced(
        "text", TEXT, prompt_tokens=10_000, completion_tokens=0, cached_tokens=4000, cache_write_tokens=3000,
        cache_write_1h_tokens=1000,
    )  # fmt: skip
    assert cents(cost) == "2.37"  # 0.9 + 0.12 + 0.75 + 0.6


def test_a_part_without_a_rate_costs_what_plain_input_costs() -> None:
    """Where a provider lists one input price, cached tokens, images and audio in are that price."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "cached_tokens": 500, "image_prompt_tokens": 300}
    cost = priced("text", {"input": "2", "output": "8"}, **usage)
    assert (cents(cost), cost.cost_status) == ("0.2", "priced")


def test_an_hour_written_at_the_price_of_five_minutes_is_a_floor() -> None:
    """The dearer one-hour write is not known: the sum is partial."""
    rates = {"input": "3", "output": "15", "cache_write": "3.75"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "cache_write_tokens": 1000, "cache_write_1h_tokens": 1000}
    assert priced("text", rates, **usage).cost_status == "partial"


def test_audio_and_text_have_their_own_rates() -> None:
    """2000 of 2600 tokens in and 1500 of 1900 out are audio."""
    cost = priced(
        "text", AUDIO, prompt_tokens=2600, completion_tokens=1900, audio_prompt_tokens=2000, audio_completion_tokens=1500
    )  # fmt: skip
    assert cents(cost) == "20.55"  # 0.15 + 8 + 0.4 + 12


def test_cached_tokens_beside_audio_are_an_estimate() -> None:
    """The usage does not say whether the cached tokens were audio, so the price says that it assumed text."""
    cost = priced("text", AUDIO, prompt_tokens=1000, completion_tokens=0, cached_tokens=400, audio_prompt_tokens=500)
    assert (cents(cost), cost.cost_status) == ("2.075", "estimated")


def test_audio_out_without_a_rate_is_a_floor() -> None:
    """Audio costs more than text wherever it is listed, so the text price is no more than a floor."""
    cost = priced(
        "text", {"input": "1", "output": "2"}, prompt_tokens=0, completion_tokens=100, audio_completion_tokens=50
    )
    assert (cents(cost), cost.cost_status) == ("0.02", "partial")


def test_reasoning_is_output_unless_priced_apart() -> None:
    """The same usage at one price and at two."""
    usage = {"prompt_tokens": 0, "completion_tokens": 1000, "reasoning_tokens": 400}
    assert cents(priced("text", {"input": "1", "output": "2"}, **usage)) == "0.2"
    assert cents(priced("text", {"input": "1", "output": "2", "reasoning": "3"}, **usage)) == "0.24"


@pytest.mark.parametrize(("prompt", "total"), [(200_000, "25"), (200_001, "50.00025")])
def test_a_long_prompt_puts_the_whole_request_on_the_next_step(prompt: int, total: str) -> None:
    """Exactly at the threshold is still the low rate; one token more and all tokens are dearer."""
    rates = {"input": "1.25 above 200K: 2.5", "output": "10 above 200K: 15"}
    assert cents(priced("text", rates, prompt_tokens=prompt, completion_tokens=0)) == total


def test_a_tool_without_a_price_makes_the_sum_a_floor() -> None:
    """Priced tools are charged; an unknown one is not 0."""
    rates = {"input": "1", "output": "1", "tool.web_search": "10/1K"}
    usage = {"prompt_tokens": 0, "completion_tokens": 0}
    known = priced("text", rates, **usage, tool_call_counts={"web_search": 3})
    assert (known.tool_cost_in_cents, known.cost_status) == (Decimal(3), "priced")
    partial = priced("text", rates, **usage, tool_call_counts={"web_search": 3, "teleport": 1})
    assert (cents(partial), partial.cost_status) == ("3", "partial")


def test_an_answer_of_unknown_length_is_a_floor() -> None:
    """Unknown is not 0: a text call with a prompt alone is partial, an embedding is not."""
    assert priced("text", {"input": "1", "output": "2"}, prompt_tokens=100).cost_status == "partial"
    assert priced("embedding", {"input": "1"}, prompt_tokens=100).cost_status == "priced"


def test_images_by_size_and_quality() -> None:
    """The most particular price counts, and a size without a price is unpriced, not the price of another."""
    rates = {"image 1024x1024 high": "0.167", "image 1024x1024 low": "0.011", "image 512x512": "0.005"}
    high = priced("image", rates, image_count=2, image_size="1024x1024", image_quality="high")
    assert (cents(high), high.media_cost_in_cents) == ("33.4", Decimal("33.4"))
    assert cents(priced("image", rates, image_count=1, image_size="512x512", image_quality="low")) == "0.5"
    assert priced("image", rates, image_count=1, image_size="2048x2048").cost_status == "unpriced"


def test_an_image_answered_in_tokens_is_billed_in_tokens() -> None:
    """Where the answer has tokens, the price of an image is not charged a second time."""
    rates = {"input": "0.3", "output": "2.5", "image_output": "30", "image": "0.039"}
    usage = {"prompt_tokens": 40, "completion_tokens": 1290, "image_completion_tokens": 1290, "image_count": 1}
    assert cents(priced("image", rates, **usage)) == "3.8712"


def test_an_image_by_the_megapixel_is_rounded_up() -> None:
    """1024x1024 is one megapixel, a little more is two."""
    rates = {"megapixel": "0.025", "image": "0.03"}
    assert cents(priced("image", rates, image_count=2, image_size="1024x1024")) == "5"
    assert cents(priced("image", rates, image_count=1, image_size="1280x1024")) == "5"
    assert cents(priced("image", rates, image_count=1)) == "3"


@pytest.mark.parametrize(
    ("resolution", "total"), [("1280x720", "240"), ("720p", "240"), ("720x1280", "240"), ("1792x1024", "400"), ("4k", "unknown")]
)  # fmt: skip
def test_video_by_the_second_and_resolution(resolution: str, total: str) -> None:
    """Eight seconds; both orientations are the same resolution, and an unlisted one is unpriced."""
    rates = {"video_second 720p": "0.30", "video_second 1024p": "0.50"}
    assert cents(priced("video", rates, video_count=1, duration_seconds=8, video_resolution=resolution)) == total


def test_speech_by_the_second_by_the_character_and_with_a_minimum() -> None:
    """Seconds are exact (no float), characters are by the million, short audio is billed the minimum."""
    assert cents(priced("stt", {"audio_second": "0.006/60"}, duration_seconds=95.3)) == "0.953"
    assert cents(priced("tts", {"character": "15"}, input_characters=1000)) == "1.5"
    rates = {"audio_second": "0.04/3600 min 10"}
    assert priced("stt", rates, duration_seconds=1) == priced("stt", rates, duration_seconds=10)


def test_pages_searches_requests_and_hardware() -> None:
    """The other units."""
    assert cents(priced("ocr", {"page": "2/1K"}, pages=250)) == "50"
    assert cents(priced("rerank", {"search": "2/1K"}, search_units=3)) == "0.6"
    assert (
        cents(priced("text", {"compute_second gpu-t4": "0.000225"}, compute_seconds=10, hardware="gpu-t4")) == "0.225"
    )
    assert (
        cents(priced("text", {"input": "1", "output": "1", "request": "5/1K"}, prompt_tokens=1, completion_tokens=0))
        == "0.5001"
    )


def test_a_price_of_zero_is_free_and_not_unpriced() -> None:
    """Local models cost nothing, which is known; those of Ollama's cloud are not priced by it, known or not."""
    assert estimate("ollama", "llama3.2", prompt_tokens=1000, completion_tokens=500).cost_status == "free"
    assert estimate("ollama", "llama3.2", prompt_tokens=1000).total_cost_in_cents == 0
    assert estimate("ollama", "new:1t-cloud", prompt_tokens=1000).cost_status == "unpriced"
    assert estimate("openai", "omni-moderation-latest", prompt_tokens=10).cost_status == "free"


def test_of_what_is_free_the_amount_does_not_matter() -> None:
    """Vectors of a model at home have no answer to be counted."""
    free = {"input": "0", "output": "0"}
    assert priced("text", free, prompt_tokens=9).cost_status == "free"
    assert priced("text", free, prompt_tokens=9, tool_call_counts={"web_search": 1}).cost_status == "partial"


def test_an_unknown_tier_is_estimated_at_the_standard_rate() -> None:
    """Never silently standard."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    standard, strange = (calculate("openai", "gpt-4o", usage, pricing_tier=t) for t in ("standard", "warp"))
    assert strange.total_cost_in_cents == standard.total_cost_in_cents
    assert (standard.cost_status, strange.cost_status) == ("priced", "estimated")
    for same in ("default", "auto", "on_demand", "", None, "Standard"):
        assert calculate("openai", "gpt-4o", usage, pricing_tier=same) == standard


def test_a_tier_that_lists_no_media_price_is_an_estimate() -> None:
    """The standard price of a second of video stands in for batch, and the status says so."""
    standard, batch = (
        estimate("openai", "whisper-1", duration_seconds=60, pricing_tier=t) for t in ("standard", "batch")
    )
    assert (standard.cost_status, batch.cost_status) == ("priced", "estimated")


def test_a_price_is_that_of_the_day() -> None:
    """The same call before and after a price change; a date means 00:00 UTC, a naive datetime is UTC."""
    usage: dict[str, Any] = {"prompt_tokens": 10_000, "completion_tokens": 3000}
    before = estimate("mistral", "mistral-large-latest", **usage, at=date(2025, 12, 1))
    after = estimate("mistral", "mistral-large-latest", **usage, at=date(2025, 12, 2))
    assert (cents(before), cents(after)) == ("3.8", "0.95")
    assert estimate("mistral", "mistral-large-latest", **usage, at=datetime(2025, 12, 1, 23, 59, 59)) == before
    assert estimate("mistral", "mistral-large-latest", **usage, at=datetime(2025, 12, 2, tzinfo=UTC)) == after


@pytest.mark.parametrize(
    ("at", "total"),
    [
        ("2026-11-20T00:59:59", "15"),  # Friday, before the peak
        ("2026-11-20T01:00:00", "30"),
        ("2026-11-20T04:00:00", "15"),
        ("2026-11-20T09:59:59", "30"),
        ("2026-11-21T02:00:00", "15"),  # Saturday
    ],
)
def test_a_price_is_that_of_the_hour_and_weekday(at: str, total: str) -> None:
    """DeepSeek doubles its price in peak hours of working days; asked in any order."""
    cost = estimate(
        "deepseek", "deepseek-flash", prompt_tokens=1_000_000, at=datetime.fromisoformat(at).replace(tzinfo=UTC)
    )
    assert cents(cost) == total


@pytest.mark.parametrize(
    ("provider", "model", "snapshot", "tier", "at"),
    [
        ("openai", "gpt-5.5-pro", "gpt-5.5-pro-2026-04-23", "batch", "2026-11-20"),
        ("openai", "gpt-5.5-pro", "gpt-5.5-pro-2026-04-23", "flex", "2026-11-20"),
        ("anthropic", "claude-opus-4-6", "claude-opus-4-6-20260205", "batch", "2026-02-10"),
        ("anthropic", "claude-opus-4-6", "claude-opus-4-6-20260205", "fast", "2026-05-01"),
        ("anthropic", "claude-opus-4-7", "claude-opus-4-7-20260416", "fast", "2026-05-01"),
        ("azure", "gpt-5.6-sol", "gpt-5.6-sol-2026-07-09", "standard", "2026-08-01"),
        ("azure", "gpt-5.6-terra", "gpt-5.6-terra-2026-07-09", "standard", "2026-08-01"),
        ("azure", "gpt-5.6-luna", "gpt-5.6-luna-2026-07-09", "standard", "2026-08-01"),
    ],
)
def test_a_snapshot_costs_what_its_model_costs(provider: str, model: str, snapshot: str, tier: str, at: str) -> None:
    """What a response names is the snapshot: a step or an earlier price that we keep holds for it, too."""
    usage = {"prompt_tokens": 300_000, "completion_tokens": 1_000}
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    costs = [calculate(provider, name, usage, pricing_tier=tier, at=moment) for name in (model, snapshot)]
    assert costs[0].total_cost_in_cents == costs[1].total_cost_in_cents is not None
    assert costs[0].cost_status == costs[1].cost_status == "priced"


def test_estimate_names_what_is_wrong() -> None:
    """A person who asks gets one line: the field, its value, what is valid."""
    with pytest.raises(
        ValueError, match=r"unknown usage field 'promt_tokens' \(valid: prompt_tokens, .*tool_call_counts\)"
    ):
        estimate("openai", "gpt-4o", promt_tokens=1)
    for bad in (-1, float("nan"), 10**18, "3"):
        with pytest.raises(ValueError, match="prompt_tokens is "):
            estimate("openai", "gpt-4o", prompt_tokens=bad)


def test_the_cost_says_where_the_price_is_from() -> None:
    """Entry, tier and start of the price, and the version of the catalog."""
    cost = estimate("mistral", "mistral-large-latest", prompt_tokens=1, at=date(2026, 1, 1))
    assert cost.price_id == "mistral/mistral-large-latest@2025-12-02"
    assert cost.cost_source == "catalog"
    assert cost.price_version is not None
    assert cost.price_version.startswith("2026-11-21.")
    assert cost.currency == "USD"
    assert calculate("openai", "gpt-4ox", {"prompt_tokens": 1}).price_version == cost.price_version


def test_another_tier_takes_what_it_does_not_list_from_the_standard_one() -> None:
    """Images priced as all output are half in a half-price batch; the cached price of the standard table stays."""
    usage: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 1000, "image_completion_tokens": 1000}
    standard, batch = (estimate("openai", "gpt-image-1", pricing_tier=t, **usage) for t in ("standard", "batch"))
    assert (cents(standard), cents(batch)) == ("4.005", "2.0025")
    assert batch.cost_status == "priced"
    assert batch.price_id == "openai/gpt-image-1#batch"


def test_a_lone_variant_is_not_the_price_of_another() -> None:
    """With one listed resolution, an unnamed one is that, and another one has no price."""
    rates = {"video_second 720p": "0.30"}
    assert cents(priced("video", rates, video_count=1, duration_seconds=2)) == "60"
    assert priced("video", rates, video_count=1, duration_seconds=2, video_resolution="4k").cost_status == "unpriced"


def test_transcribed_audio_is_billed_once() -> None:
    """Audio counted in tokens is not billed by the second as well."""
    rates = {"input": "2.5", "audio_input": "6", "output": "10", "audio_second": "0.006/60"}
    by_token = priced("stt", rates, prompt_tokens=1000, audio_prompt_tokens=1000, duration_seconds=60)
    assert cents(by_token) == "0.6"
    assert cents(priced("stt", rates, duration_seconds=60)) == "0.6"


DREW: dict[str, Any] = {
    "prompt_tokens": 1000, "completion_tokens": 100, "tool_call_counts": {"image_generation": 1}, "usage_raw": {
        "tool_usage": {"image_gen": {
            "model": "gpt-image-2", "input_tokens": 500, "output_tokens": 1000, "total_tokens": 1500, "cached_tokens": 0,
            "input_tokens_details": {"image_tokens": 200, "text_tokens": 300},
            "output_tokens_details": {"image_tokens": 1000, "text_tokens": 0}}}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("spent", "tool", "status"),
    [({}, "3.31", "priced"), ({"cached_tokens": None}, "3.31", "estimated"), ({"model": "gpt-image-x"}, None, "partial"),
     ({"model": None}, None, "partial")],
)  # fmt: skip
def test_images_that_a_tool_drew_cost_what_their_own_model_costs(
    spent: dict[str, Any], tool: str | None, status: str
) -> None:
    """300 tokens of text in at 5 USD, 200 of an image at 8, 1000 out at 30: beside what the model that was asked costs."""
    image_gen = {**DREW["usage_raw"]["tool_usage"]["image_gen"], **spent}
    cost = calculate("openai", "gpt-5.1", {**DREW, "usage_raw": {"tool_usage": {"image_gen": image_gen}}})
    alone = calculate("openai", "gpt-5.1", {"prompt_tokens": 1000, "completion_tokens": 100}).total_cost_in_cents
    assert cost.cost_status == status
    assert cost.tool_cost_in_cents == (tool and Decimal(tool))
    assert cost.total_cost_in_cents == (alone or 0) + Decimal(tool or 0)


@pytest.mark.parametrize(
    ("provider", "model", "tool", "calls"),
    [("openai", "gpt-4o", "web_search_preview", "5"), ("openai", "gpt-4o", "web_search", "2"),
     ("openai", "gpt-5", "web_search_preview", "2"), ("xai", "grok-4.3", "web_search_preview", "1")],
)  # fmt: skip
def test_a_search_by_the_preview_tool_costs_more_where_it_does(
    provider: str, model: str, tool: str, calls: str
) -> None:
    """Two searches: 25 USD for a thousand with models that do not reason, elsewhere what the tool of today costs."""
    raw = {"tool_usage": {"web_search": {"type": tool}}}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "tool_call_counts": {"web_search": 2}, "usage_raw": raw}
    cost = calculate(provider, model, usage)
    assert (cost.tool_cost_in_cents, cost.cost_status) == (Decimal(calls), "priced")
    body = {
        "model": model,
        "input": "x",
        "tools": [{"type": f"{tool}_2025_03_11"}],
        "max_tool_calls": 2,
        "max_output_tokens": 99,
    }
    bounds = estimate_request(provider, body)
    assert bounds.upper_in_cents is not None
    without = estimate_request(provider, {**body, "max_tool_calls": 0}).upper_in_cents
    assert bounds.upper_in_cents - (without or 0) >= Decimal(calls)


def iteration(kind: str, read: int, written: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "input_tokens": read, "output_tokens": written, **more}


@pytest.mark.parametrize(
    ("raw", "total", "tool", "status"),
    [
        ({}, "0.3", None, "priced"),  # 1000 at 2 USD, 100 at 10
        ({"iterations": [iteration("message", 1000, 100)]}, "0.3", None, "priced"),
        ({"iterations": [iteration("compaction", 5000, 200), iteration("message", 1000, 100)]}, "1.5", None, "priced"),
        ({"iterations": [iteration("message", 1000, 100),
                         iteration("advisor_message", 1000, 100, model="claude-opus-4-8")]}, "1.05", "0.75", "priced"),
        ({"iterations": [iteration("message", 1000, 100), iteration("advisor_message", 9, 9, model="claude-nobody")]},
         "0.3", None, "partial"),
        ({"iterations": [iteration("message", 500, 0),
                         iteration("fallback_message", 500, 100, model="claude-x")]}, "0.3", None, "estimated"),
        ({"inference_geo": "us"}, "0.33", None, "priced"),
        ({"inference_geo": "global"}, "0.3", None, "priced"),
    ],
)  # fmt: skip
def test_anthropics_iterations_and_places_cost_what_they_cost(
    raw: dict[str, Any], total: str, tool: str | None, status: str
) -> None:
    """A compaction and an advisor are billed beside the totals, the latter at another model's price; the US alone at 1.1."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "usage_raw": raw}
    cost = calculate("anthropic", "claude-sonnet-5", usage, at=date(2026, 11, 1))
    assert (cents(cost), cost.tool_cost_in_cents, cost.cost_status) == (total, tool and Decimal(tool), status)


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-5.1"), ("azure", "gpt-5.1"), ("xai", "grok-4.5")])
def test_tools_that_cost_no_more_than_their_tokens_are_exact(provider: str, model: str) -> None:
    """A call of a remote MCP server has no fee of its own, as these providers say."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    cost = calculate(provider, model, {**usage, "tool_call_counts": {"mcp": 3}})
    assert (cost.cost_status, cost.tool_cost_in_cents) == ("priced", 0)
    assert cost.total_cost_in_cents == calculate(provider, model, usage).total_cost_in_cents


def test_what_a_provider_counts_beside_tokens_and_pages_is_billed() -> None:
    """Deep research as in Perplexity's own example, 0.409 USD in all; pages that Mistral annotates, where that has a price."""
    usage = {
        "prompt_tokens": 33, "completion_tokens": 7163 + 73_997, "reasoning_tokens": 73_997,
        "tool_call_counts": {"web_search": 18, "citation_tokens": 20_016},
    }  # fmt: skip
    assert cents(calculate("perplexity", "sonar-deep-research", usage)) == "40.9393"
    annotated = {"pages": 10, "tool_call_counts": {"annotation": 10}}
    cost = calculate("mistral", "mistral-ocr-2512", annotated)
    assert (cents(cost), cost.cost_status) == ("3", "priced")
    assert cents(calculate("mistral", "mistral-ocr-2512", annotated, pricing_tier="batch")) == "1.5"
    assert calculate("vertex", "mistral-ocr-2505", annotated).cost_status == "partial"


def test_an_image_without_pixels_has_no_price() -> None:
    """What is sold by the megapixel is not free for that."""
    sizes = ("0x1024", "1024x1024")
    costs = [priced("image", {"megapixel": "0.03"}, image_count=1, image_size=size) for size in sizes]
    assert [cents(cost) for cost in costs] == ["unknown", "3"]


def test_a_total_stands_for_what_is_left_out() -> None:
    """Alone it is unknown how much of it was the dearer one."""
    assert cents(estimate("openai", "gpt-4o", total_tokens=1000)) == "unknown"
    both = estimate("openai", "gpt-4o", prompt_tokens=400, completion_tokens=600)
    assert estimate("openai", "gpt-4o", total_tokens=1000, prompt_tokens=400) == both
    assert estimate("openai", "gpt-4o", total_tokens=1000, completion_tokens=600) == both
    with pytest.raises(ValueError, match="completion_tokens is -1; valid is 0"):
        estimate("openai", "gpt-4o", total_tokens=399, prompt_tokens=400)


@pytest.mark.parametrize(
    ("model", "location", "times"),
    [("claude-sonnet-4-5@20250929", "us-east5", "1.1"), ("claude-sonnet-4-5@20250929", "global", "1"),
     ("claude-opus-4-1@20250805", "us-east5", "1"), ("claude-3-5-haiku@20241022", "eu", "1"),
     ("gemini-2.5-flash", "us-central1", "1"), ("claude-opus-4-8", "eu", "1.1")],
)  # fmt: skip
def test_claude_in_one_region_of_vertex_costs_a_tenth_more(model: str, location: str, times: str) -> None:
    """From Sonnet 4.5 on; the global endpoint has the list price."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "usage_raw": {}}
    listed = calculate("vertex", model, usage, at=date(2026, 11, 1)).total_cost_in_cents
    endpoint = f"/v1/projects/p/locations/{location}/publishers/anthropic/models/{model}:rawPredict"
    cost = calculate("vertex", model, {**usage, "endpoint": endpoint}, at=date(2026, 11, 1))
    assert listed is not None
    assert cost.total_cost_in_cents == listed * Decimal(times)


def test_what_a_model_wrote_in_svg_costs_what_that_model_costs() -> None:
    """Beside the image that another one drew."""
    usage = {"prompt_tokens": 100, "completion_tokens": 0, "usage_raw": {
        "svg_usage": {"model": "gpt-5.1", "input_tokens": 1000, "output_tokens": 100}}}  # fmt: skip
    wrote = calculate("openai", "gpt-5.1", {"prompt_tokens": 1000, "completion_tokens": 100}).total_cost_in_cents
    cost = calculate("openai", "gpt-image-2", usage)
    assert (cost.tool_cost_in_cents, cost.cost_status) == (wrote, "priced")
