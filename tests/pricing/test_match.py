"""A name means an entry exactly or by a rule that is said; a name that merely looks alike means nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from spectra_otel.pricing import Pricer, estimate

PRICER = Pricer()


@pytest.mark.parametrize(
    ("provider", "model", "entry", "rule"),
    [
        ("openai", "gpt-4o", "gpt-4o", "exact name"),
        ("openai", "GPT-4o", "gpt-4o", "exact name"),
        ("openai", "openai/gpt-4o", "gpt-4o", "without openai/"),
        ("openai", "gpt-5-2025-08-07", "gpt-5", "exact name"),
        ("openai", "gpt-5-2031-01-01", "gpt-5", "snapshot 2031-01-01 of the model"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::x1", "ft:gpt-4.1-2025-04-14", "fine-tuned model, tuned rates"),
        ("anthropic", "claude-opus-5", "claude-opus-5", "exact name"),
        ("anthropic", "claude-opus-5-20270101", "claude-opus-5", "snapshot 20270101 of the model"),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro", "without models/"),
        ("google", "gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite", "exact name"),
        ("vertex", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro", "without publishers/google/models/"),
        ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro", "without google/"),
        (
            "vertex",
            "projects/p/locations/global/publishers/anthropic/models/claude-opus-4-5@20251101",
            "claude-opus-4-5@20251101",
            "last part of the resource name",
        ),
        (
            "bedrock",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "exact name",
        ),
        ("bedrock", "apac.amazon.nova-micro-v1:0", None, None),
        ("bedrock", "amazon.nova-pro-v1:0:300k", "amazon.nova-pro-v1:0", "model id with another form of its version"),
        ("bedrock", "amazon.titan-embed-text-v2", "amazon.titan-embed-text-v2", None),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
            "amazon.nova-pro-v1:0",
            "model of the ARN",
        ),
        ("deepgram", "aura-2-thalia-en", "aura-2", "model of the voice"),
        ("deepgram", "aura-asteria-en", "aura", "model of the voice"),
        ("perplexity", "perplexity/sonar", "perplexity/sonar", "exact name"),
        ("openrouter", "openai/gpt-4o", "openai/gpt-4o", None),
        ("openrouter", "openrouter/openai/gpt-4o", "openai/gpt-4o", "without openrouter/"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b", None, None),
    ],
)
def test_a_name_leads_to_its_entry(provider: str, model: str, entry: str | None, rule: str | None) -> None:
    """Each rule, on a name that providers really return."""
    match = PRICER.matcher.match(provider, model)
    assert match is not None
    if entry is not None:
        assert entry in (match.entry.model, *match.entry.names)
    if rule is not None:
        assert match.rule == rule


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4ox"),
        ("deepgram", "aura-3-thalia-en"),
        ("openai", "gpt-4o-ultra"),
        ("openai", "gpt-55"),
        ("openai", "gpt-5.95"),
        ("openai", "gpt-4o-2024-99-99"),
        ("openai", "gpt-4o-2024-02-30"),
        ("openai", "ft:gpt-9:org::id"),
        ("openai", "claude-opus-5"),
        ("anthropic", "claude-3-5-sonnets"),
        ("anthropic", "claude-opus-55"),
        ("anthropic", "claude-opus"),
        ("anthropic", "gpt-4o"),
        ("google", "gemini-2.5-pro-max"),
        ("google", "gemini-25-pro"),
        ("azure", "my-deployment"),
        ("bedrock", "anthropic.claude-opus-9-v1:0"),
        ("bedrock", "amazon.titan-embed-text-v9:0"),
        ("bedrock", "amazon.nova-pro-v2:0"),
        ("bedrock", "us-gov.anthropic.claude-3-opus-20240229-v1:0"),
        ("bedrock", "eu.amazon.titan-embed-text-v2:0"),
        ("bedrock", "amazon.nova-pro-v1:90"),
        ("bedrock", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-pro-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/amazon.nova-pro-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/amazon.nova-pro-v1:0"),
        ("anthropic", "claude-opus-4-5-2025-1101"),
        ("openai", "ft:babbage-002:"),
        ("openrouter", "nobody/made-up:free"),
        ("replicate", "nobody/imaginary-model"),
        ("elevenlabs", "eleven_flash_v25_imaginary"),
        ("openai_compatible", "gpt-4o"),
        ("nobody", "gpt-4o"),
        ("", ""),
        ("openai", ""),
        ("openai", "*"),
        ("openai", "gpt-4o gpt-5"),
        ("openai", "x" * 10_000),
    ],
)
def test_a_near_miss_is_unpriced(provider: str, model: str) -> None:
    """A made-up name, another provider's model, a local server: no price, no error."""
    cost = estimate(provider, model, prompt_tokens=1000, completion_tokens=500, image_count=1)
    assert (cost.total_cost_in_cents, cost.cost_status) == (None, "unpriced")


def test_who_hosts_decides_the_price() -> None:
    """The same model costs more on Vertex than at the Gemini API."""
    usage: dict[str, Any] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    google, vertex = (estimate(p, "gemini-2.0-flash-001", **usage).total_cost_in_cents for p in ("google", "vertex"))
    assert (google, vertex) == (10, 15)


def test_a_free_variant_is_free_and_its_paid_sibling_is_not() -> None:
    """`:free` of a known model costs nothing."""
    usage: dict[str, Any] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    free = estimate("openrouter", "openai/gpt-oss-120b:free", **usage)
    assert (free.total_cost_in_cents, free.cost_status) == (0, "free")
    assert estimate("openrouter", "openai/gpt-oss-120b", **usage).total_cost_in_cents != 0


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        *(("openai", m) for m in ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini-2024-07-18")),
        *(("openai", m) for m in ("gpt-4.1-2025-04-14", "gpt-4.1-nano-2025-04-14", "o1-2024-12-17", "o3-mini-2025-01-31")),
        *(("openai", m) for m in ("gpt-5-mini-2025-08-07", "gpt-5-nano-2025-08-07", "gpt-5.1-2025-11-13")),
        *(("anthropic", m) for m in ("claude-3-haiku-20240307", "claude-3-5-sonnet-20241022", "claude-3-7-sonnet-20250219")),
        *(("anthropic", m) for m in ("claude-sonnet-4-20250514", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")),
        ("openai", "text-embedding-3-large"),
        *(("anthropic", m) for m in ("claude-opus-4-1-20250805", "claude-opus-4-5-20251101", "claude-3-5-haiku-latest")),
        *(("google", m) for m in ("gemini-2.0-flash-001", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-embedding-001")),
    ],
)  # fmt: skip
def test_what_is_served_is_priced(provider: str, model: str) -> None:
    """Snapshots that the three main providers name in their responses."""
    assert estimate(provider, model, prompt_tokens=1000).cost_status == "priced"


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("ollama", "gpt-oss:120b", "cloud"),
        ("ollama", "gpt-oss:120b-cloud", "standard"),
        ("ollama", " GPT-OSS:120b-cloud ", "cloud"),
        ("ollama-cloud", "gpt-oss:120b", "standard"),
        ("ollama-cloud", "gpt-oss:120b-cloud", None),
    ],
)
def test_models_of_ollamas_cloud_are_one_by_any_name(provider: str, model: str, tier: str | None) -> None:
    """By the tier that the host means, by the name on a server of one's own, and by the name of the page."""
    usage = {"prompt_tokens": 10**6, "completion_tokens": 0}
    found = PRICER.explain(provider, model, pricing_tier=tier, at=date(2026, 11, 21))
    assert found.match is not None
    assert (found.match.entry.provider, found.match.entry.model) == ("ollama-cloud", "gpt-oss:120b")
    cost = PRICER.calculate(provider, model, usage, pricing_tier=tier, at=date(2026, 11, 21))
    assert (cost.cost_status, cost.total_cost_in_cents) == ("priced", 15)
    before = PRICER.calculate(provider, model, usage, pricing_tier=tier, at=date(2026, 8, 31))
    assert before.cost_status == "unpriced"


def test_an_unknown_name_gets_suggestions() -> None:
    """What the person probably meant, or which provider."""
    assert "gpt-4o" in PRICER.explain("openai", "gpt-4oo").suggestions
    assert "openai" in PRICER.explain("opnai", "gpt-4o").suggestions


def test_an_explanation_shows_rule_entry_and_source() -> None:
    """How the name was matched, what holds and where each price was read."""
    explanation = PRICER.explain("openai", "models/whisper-1")
    assert explanation.match is not None
    assert explanation.match.rule == "without models/"
    assert explanation.terms is not None
    assert explanation.terms.rates["audio_second"] == "0.36/3600"
    assert explanation.terms.origins["audio_second"] == "genai-prices"
    assert explanation.terms.origins["tool.web_search"].startswith("https://developers.openai.com/")


def test_names_from_the_wire_do_not_fill_memory() -> None:
    """A million different unknown names keep a bounded cache."""
    pricer = Pricer()
    for number in range(10_000):
        pricer.calculate("openai", f"made-up-{number}", {"prompt_tokens": 1})
    assert len(pricer._timelines) <= 4096
