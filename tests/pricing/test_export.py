"""The catalog for other tools."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from spectra_otel.pricing import Pricer, calculate, load_overrides
from spectra_otel.pricing.compile import litellm
from spectra_otel.pricing.export import UnknownModelError, export

AT = datetime(2026, 11, 21, tzinfo=UTC)
MODELS = ["openai/gpt-4o-2024-08-06", "anthropic/claude-sonnet-4-6", "google/gemini-2.5-flash"]


def statements(models: list[str]) -> list[str]:
    document = yaml.safe_load(export(Pricer(), "ottl", models, at=AT).text)
    (block,) = document["processors"]["transform/spectra_cost"]["trace_statements"]
    assert len(block["conditions"]) == 2
    found: list[str] = block["statements"]
    return found


def test_ottl_prices_what_we_price() -> None:
    """The tariff of each model, read back from the statement, gives our cost."""
    lines = [line for line in statements(MODELS) if '"rate"], {"in"' in line]
    for model, line in zip(MODELS, lines, strict=True):
        rate = {key: Decimal(value) for key, value in re.findall(r'"(in|cr|cw|out)": ([\d.e+-]+)', line)}
        provider, _, name = model.partition("/")
        assert f'"{name}"' in line
        usage = {"prompt_tokens": 10_000, "cached_tokens": 4000, "cache_write_tokens": 1000, "completion_tokens": 777}
        usd = 5000 * rate["in"] + 4000 * rate["cr"] + 1000 * rate["cw"] + 777 * rate["out"]
        assert calculate(provider, name, usage, at=AT).total_cost_in_cents == 100 * usd


def test_ottl_follows_the_grammar() -> None:
    """Floats have a dot, every copy of what may be missing is guarded, the cache is reset for every span."""
    lines = statements(MODELS)
    for line in lines:
        for number in re.findall(r"(?<![\w\"-])\d[\d.]*(?:e[+-]\d+)?(?![\w\"-])", re.sub(r'"[^"]*"', '""', line)):
            assert "." in number, line
        if "span.attributes[" in line.partition(", ")[2]:
            assert "!= nil" in line, line
    resets = ['"model"], "")', '"rate"], {})', '"in"], 0.0)', '"cr"], 0.0)', '"cw"], 0.0)', '"out"], 0.0)']
    assert [line for line in lines if any(line.endswith(reset) for reset in resets)] == [
        f"set(span.cache[{reset}" for reset in resets
    ]


def test_ottl_leaves_out_what_it_cannot_say() -> None:
    """A price by length of context would be wrong for half of the calls."""
    result = export(Pricer(), "ottl", ["openai/gpt-5.4", "openai/whisper-1", "deepseek/deepseek-flash"], at=AT)
    assert result.left_out == [
        "openai/gpt-5.4 has prices by length of context", "openai/whisper-1 is not sold by token",
        "deepseek/deepseek-flash has prices by time of day",
    ]  # fmt: skip


def test_ottl_tells_models_by_name_alone(tmp_path: Path) -> None:
    """One name at two prices would price some calls wrong, one that no string holds would break the collector."""
    (tmp_path / "own.yaml").write_text(
        "provider: x\nprices:\n  - {models: ['we\"ird', 'ba\\ck', \"it's$5\"], rates: {input: 1, output: 2}}\n"
    )
    prices = Pricer(overrides=load_overrides([tmp_path / "own.yaml"]))
    twice = ["groq/openai/gpt-oss-120b", "together/openai/gpt-oss-120b", "openai/gpt-4o", "azure/gpt-4o"]
    result = export(prices, "ottl", [*twice, 'x/we"ird', "x/ba\\ck", "x/it's$5", "perplexity/sonar"], at=AT)
    assert result.left_out == [
        "together/openai/gpt-oss-120b has the name of a model of another provider, at another price",
        'x/we"ird has a name that no string of OTTL holds',
        "x/ba\\ck has a name that no string of OTTL holds",
        "perplexity/sonar has a price for each request",
    ]
    assert result.text.count("gpt-oss-120b") == 1
    assert "it''s$$5" in result.text
    yaml.safe_load(result.text)


def test_a_whole_catalog_is_too_much_for_ottl() -> None:
    """Short lists alone."""
    with pytest.raises(ValueError, match="ottl is for short lists"):
        export(Pricer(), "ottl", at=AT)


def test_an_unknown_model_is_refused_with_names_that_are_near() -> None:
    """Nothing is left out silently that was asked for."""
    with pytest.raises(UnknownModelError, match=r"'openai/gpt-4ox' has no price; .*near: openai/gpt-4o"):
        export(Pricer(), "json", ["openai/gpt-4ox"], at=AT)


def test_litellm_reads_back_what_it_is_given(tmp_path: Path) -> None:
    """The table, read as LiteLLM's own is, has our rates: tiers and steps too."""
    path = tmp_path / "table.json"
    path.write_text(export(Pricer(), "litellm", ["openai/gpt-5.4", "anthropic/claude-opus-4-8"], at=AT).text)
    drafts, _ = litellm.read(path)
    model = drafts["openai", "gpt-5.4"]
    assert {offer.tier for offer in model.offers} == {"standard", "batch", "flex", "priority"}
    assert model.offers[0].rates["input"] == "2.5 above 272000: 5"
    assert drafts["anthropic", "claude-opus-4-8"].offers[0].rates["cache_write_1h"] == "10"


def test_genai_prices_prices_by_what_it_is_given() -> None:
    """Its own reader takes the list, its own arithmetic comes to our cost."""
    from genai_prices import Usage
    from genai_prices.types import ModelPrice, Tier, TieredPrices

    (provider,) = json.loads(export(Pricer(), "genai-prices", ["openai/gpt-5.4"], at=AT).text)
    (model,) = provider["models"]
    assert {"equals": "gpt-5.4"} in model["match"].get("or", [model["match"]])

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return Decimal(str(value))
        tiers = [Tier(start=tier["start"], price=Decimal(str(tier["price"]))) for tier in value["tiers"]]
        return TieredPrices(base=Decimal(str(value["base"])), tiers=tiers)

    price = ModelPrice(**{key: read(value) for key, value in model["prices"].items()})
    for tokens in (1000, 300_000):
        cents = 100 * price.calc_price(Usage(input_tokens=tokens, output_tokens=10))["total_price"]
        ours = calculate("openai", "gpt-5.4", {"prompt_tokens": tokens, "completion_tokens": 10}, at=AT)
        assert ours.total_cost_in_cents == cents


def test_json_has_every_model_with_its_sources() -> None:
    """Rates as the catalog writes them."""
    document = json.loads(export(Pricer(), "json", at=AT).text)
    assert len(document["prices"]) > 5000
    row = next(
        row
        for row in document["prices"]
        if (row["provider"], row["model"], row["tier"]) == ("openai", "gpt-5", "batch")
    )
    assert row["rates"]["input"] == "0.625"
    assert row["source"]


@pytest.mark.parametrize("models", [(), ("openai/gpt-4o", "openai/gpt-4o-2024-08-06", "openai/mine")])
def test_prices_of_your_own_are_exported_for_their_names_alone(tmp_path: Path, models: tuple[str, ...]) -> None:
    """With models and without, a name has the price that its calls have here."""
    file = tmp_path / "own.yaml"
    file.write_text("provider: openai\nprices:\n  - {models: [gpt-4o, Mine], rates: {input: 1, output: 2}}\n")
    prices = Pricer(overrides=load_overrides([file]))
    found = json.loads(export(prices, "json", models, at=AT).text)["prices"]
    standard = [one for one in found if one["provider"] == "openai" and one["tier"] == "standard"]
    for model in ("gpt-4o", "gpt-4o-2024-08-06", "mine"):
        rates = [one["rates"]["input"] for one in standard if model in (name.lower() for name in one["names"])]
        cost = prices.calculate("openai", model, {"prompt_tokens": 10**6, "completion_tokens": 0}, at=AT)
        assert [Decimal(rate) * 100 for rate in rates] == [cost.total_cost_in_cents]
