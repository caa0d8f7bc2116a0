"""Prices of real models on real days, as their providers' pages said them."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.pricing import estimate

CASES = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "prices" / "truth.jsonl"

SQUARE = {"image_count": 1, "image_size": "1024x1024", "image_quality": "standard"}
CACHED = {"prompt_tokens": 10_000, "cached_tokens": 10_000, "completion_tokens": 0}
PLAIN = {"prompt_tokens": 10_000, "completion_tokens": 2000}
LONG = {"prompt_tokens": 300_000, "completion_tokens": 0}
SMALL: list[tuple[str, str, str, str, dict[str, Any], str]] = [
    ("openai", "gpt-4o", "standard", "2026-08-15", {"prompt_tokens": 1000, "completion_tokens": 500}, "0.75"),
    ("openai", "gpt-5", "batch", "2026-08-15", {"prompt_tokens": 1000, "completion_tokens": 500}, "0.3125"),
    ("openai", "whisper-1", "standard", "2026-08-15", {"duration_seconds": 95}, "0.95"),
    ("openai", "dall-e-3", "standard", "2025-10-01", {"image_count": 1, "image_size": "1024x1792", "image_quality": "hd"}, "12"),
    ("openai", "tts-1-hd", "standard", "2026-08-15", {"input_characters": 1000}, "3"),
    ("anthropic", "claude-sonnet-4-5", "standard", "2026-09-15", {"prompt_tokens": 10_000, "completion_tokens": 2000}, "6"),
    ("google", "gemini-2.5-pro", "standard", "2026-04-15", {"prompt_tokens": 200_001, "completion_tokens": 5000}, "57.50025"),
    ("google", "imagen-4.0-ultra-generate-001", "standard", "2026-04-15", {"image_count": 2}, "12"),
    ("mistral", "mistral-ocr-2512", "standard", "2026-06-15", {"pages": 250}, "50"),
    ("cohere", "rerank-v3.5", "standard", "2026-06-15", {"search_units": 1}, "0.2"),
    ("replicate", "black-forest-labs/flux-schnell", "standard", "2026-10-07", {"image_count": 3}, "0.9"),
    ("groq", "whisper-large-v3-turbo", "standard", "2026-06-15", {"duration_seconds": 3600}, "4"),
    # Before and after a change, and where one catalog has half of a price.
    ("groq", "openai/gpt-oss-20b", "standard", "2025-10-15", {"prompt_tokens": 10_000, "completion_tokens": 2000}, "0.2"),
    ("google", "gemini-2.5-flash", "standard", "2025-08-15", CACHED, "0.075"),
    ("google", "gemini-2.5-flash", "standard", "2026-01-15", CACHED, "0.03"),
    ("google", "gemini-2.5-pro", "flex", "2026-10-15", {"prompt_tokens": 200_001, "completion_tokens": 0}, "25.000125"),
    ("mistral", "ministral-3b-latest", "standard", "2025-06-15", {"prompt_tokens": 10_000, "completion_tokens": 0}, "0.04"),
    ("mistral", "ministral-3b-latest", "standard", "2026-06-15", {"prompt_tokens": 10_000, "completion_tokens": 0}, "0.1"),
    ("mistral", "magistral-medium-latest", "standard", "2026-08-15", {"prompt_tokens": 0, "completion_tokens": 1000}, "0.5"),
    ("bedrock", "openai.gpt-5.6-sol", "standard", "2026-08-15", {"prompt_tokens": 10_000, "completion_tokens": 0}, "5.5"),
    ("bedrock", "stability.stable-diffusion-xl-v1", "standard", "2025-06-15", SQUARE, "4"),
    ("bedrock", "amazon.titan-image-generator-v2:0", "standard", "2026-06-15", SQUARE, "1"),
    ("bedrock", "amazon.titan-image-generator-v2:0", "standard", "2026-06-15", {**SQUARE, "image_quality": "premium"}, "1.2"),
    ("bedrock", "amazon.titan-embed-text-v2:0", "batch", "2026-06-15", {"prompt_tokens": 1_000_000, "completion_tokens": 0}, "1"),
    ("google", "gemini-3.6-flash", "standard", "2026-08-05", PLAIN, "3"),
    ("google", "gemini-3.6-flash", "standard", "2026-10-15", PLAIN, "1.5"),
    ("google", "gemini-3.6-flash", "priority", "2027-01-15", PLAIN, "5.4"),
    ("google", "gemini-3.6-flash", "standard", "2027-01-15", PLAIN, "3"),
    ("google", "gemini-3.6-flash", "batch", "2026-10-15", PLAIN, "0.75"),
    ("google", "gemini-1.5-pro", "standard", "2025-03-01", CACHED, "0.3125"),
    ("anthropic", "claude-opus-4-6", "batch", "2026-02-20", LONG, "150"),
    ("anthropic", "claude-opus-4-6", "batch", "2026-06-15", LONG, "75"),
    ("openai", "gpt-5.5-pro", "batch", "2026-08-15", LONG, "900"),
    ("azure", "gpt-5.6-terra", "standard", "2026-08-05", PLAIN, "5.5"),
    ("azure", "gpt-5.6-terra", "standard", "2026-10-15", PLAIN, "4.4"),
    ("azure", "gpt-5.4-mini", "batch", "2026-08-15", PLAIN, "0.825"),
    ("mistral", "mistral-medium-3", "standard", "2026-06-15", PLAIN, "0.8"),
    ("mistral", "mistral-medium-3", "standard", "2026-09-15", PLAIN, "3"),
    ("mistral", "mistral-medium-3.5", "standard", "2026-06-15", PLAIN, "3"),
    ("xai", "grok-4.5", "standard", "2026-07-10", CACHED, "0.5"),
    ("xai", "grok-4.5-latest", "batch", "2026-11-01", PLAIN, "2.56"),
    ("xai", "grok-4-fast-reasoning", "standard", "2026-05-15", PLAIN, "0.3"),
    ("xai", "grok-4-fast-reasoning", "standard", "2026-05-16", PLAIN, "1.75"),
    ("xai", "grok-3", "standard", "2026-05-16", PLAIN, "1.75"),
    ("replicate", "black-forest-labs/flux-pro", "standard", "2026-10-07", {"image_count": 1}, "5.5"),
    ("deepseek", "deepseek-r1", "standard", "2025-06-15", PLAIN, "0.245"),
    ("deepseek", "deepseek-v4-flash", "standard", "2026-04-25", CACHED, "0.028"),
    ("deepseek", "deepseek-v4-flash-vision-exp", "standard", "2026-10-15", PLAIN, "0.27"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "tier", "at", "usage", "cents"), SMALL)
def test_a_price_is_what_the_page_says(
    provider: str, model: str, tier: str, at: str, usage: dict[str, Any], cents: str
) -> None:
    """One model of each kind, its price worked out by hand."""
    cost = estimate(provider, model, pricing_tier=tier, at=date.fromisoformat(at), **usage)
    assert cost.total_cost_in_cents == Decimal(cents)


@pytest.mark.skipif(not CASES.exists(), reason="the collection of sourced cases is not beside this checkout")
def test_no_sourced_case_is_wrong() -> None:
    """None is priced wrongly, none that must not be priced is, and at most 5 % are unknown."""
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    wrong, unknown = [], []
    for case in cases:
        usage = {k: v for k, v in case["usage"].items() if v not in (None, 0, {}, "")}
        at = date.fromisoformat(case["at"]) if case["at"] else None
        have = estimate(
            case["provider"], case["model"], pricing_tier=case["tier"] or "standard", at=at, **usage
        ).total_cost_in_cents
        want = case["expected_cents"]
        if have is None and want is not None:
            unknown.append(case["id"])
        elif have != want and (want is None or have is None or abs(have - Decimal(want)) > Decimal("0.00000002")):
            wrong.append((case["id"], have, want))
    assert not wrong
    assert len(unknown) <= 0.05 * len(cases), unknown
