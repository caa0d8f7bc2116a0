"""LiteLLM's calculator is a third implementation: at the same rates it comes to the same price, but for its floats.

It takes seconds to import and has an environment of its own (`.ci/backends` makes it), so this runs with the real programs.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.pricing import Pricer
from spectra_otel.pricing.calculate import Terms
from spectra_otel.pricing.compile import litellm
from spectra_otel.pricing.units import TOKEN_METERS, Rate, parse_rate
from spectra_otel.pricing.written import WrittenOffer

ROOT = Path(__file__).resolve().parents[2]
PLACES = ROOT.glob(".venvs/litellm/lib/python*/site-packages/litellm/model_prices_and_context_window_backup.json")
TABLE = next(PLACES, None)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TIERS = ("standard", "flex", "priority")
WITHOUT_TIERS = frozenset({"fireworks_ai"})
"""Providers whose calculator of LiteLLM's knows no tier, though its table has prices for them."""
ELSEWHERE = frozenset({"gemini-exp-1206"})
"""Names whose row LiteLLM does not take, but that with the provider's prefix, which has other prices."""
GRID = [
    {"prompt_tokens": 1000, "completion_tokens": 500},
    {"prompt_tokens": 1, "completion_tokens": 1},
    {"prompt_tokens": 128_000, "completion_tokens": 7},
    {"prompt_tokens": 199_999, "completion_tokens": 7},
    {"prompt_tokens": 200_001, "completion_tokens": 4099},
    {"prompt_tokens": 300_001, "completion_tokens": 4099},
    {"prompt_tokens": 12_345, "completion_tokens": 678, "cached_tokens": 9876},
]
THEIRS = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from litellm.types.utils import Usage
asked, answers = json.load(sys.stdin), []
for key, provider, tier, usage in asked:
    details = {"cached_tokens": usage["cached_tokens"]} if "cached_tokens" in usage else None
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    given = Usage(**counts, prompt_tokens_details=details)
    try:
        answers.append(sum(litellm.cost_per_token(
            model=key, custom_llm_provider=provider, usage_object=given, service_tier=None if tier == "standard" else tier,
            prompt_tokens=prompt, completion_tokens=completion, cache_read_input_tokens=usage.get("cached_tokens", 0),
        )))
    except Exception:
        answers.append(None)
print("\\n" + json.dumps(answers))
"""


@pytest.mark.backend
def test_the_same_rates_come_to_the_same_price_as_in_litellm() -> None:
    """Every chat model whose rates are the same in both, × a grid of usage × the tiers that LiteLLM knows."""
    if TABLE is None:
        pytest.skip("no litellm; .ci/backends installs it")
    pricer = Pricer()
    asked = list(questions(pricer))
    python = TABLE.parents[4] / "bin" / "python"
    done = subprocess.run(
        [python, "-c", THEIRS], input=json.dumps([ask[0] for ask in asked]), capture_output=True, text=True, check=True
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    differ, compared = [], 0
    for ((key, _, tier, usage), provider, name), their in zip(asked, theirs, strict=True):
        cost = pricer.calculate(provider, name, usage, pricing_tier=tier, at=NOW)
        if their is None or cost.cost_status == "partial" or cost.total_cost_in_cents is None:
            continue
        compared += 1
        ours = float(cost.total_cost_in_cents) / 100
        if abs(ours - their) > 1e-9 * max(ours, their) + 1e-9:
            differ.append((key, tier, usage, ours, their))
    assert compared > 10_000, compared
    assert not differ, f"{len(differ)} of {compared} differ: {differ[:8]}"


def questions(pricer: Pricer) -> Iterator[tuple[tuple[str, str, str, dict[str, int]], str, str]]:
    """What LiteLLM is asked, and the same model by our names, where both have the same rates of tokens."""
    assert TABLE is not None
    for key, row in json.loads(TABLE.read_text(), parse_float=Decimal, parse_int=Decimal).items():
        provider = litellm._provider(row.get("litellm_provider") or "")
        name = litellm._name(key, row.get("litellm_provider") or "")
        if row.get("mode") != "chat" or not provider or key in ELSEWHERE:
            continue
        offers = litellm._offers(row)
        for offer in offers:
            if offer.tier not in TIERS or (offer.tier != "standard" and row["litellm_provider"] in WITHOUT_TIERS):
                continue
            terms = pricer.explain(provider, name, pricing_tier=offer.tier, at=NOW).terms
            if terms is not None and terms.tier == offer.tier and is_same(terms, offer.rates):
                for usage in GRID:
                    known = "cached_tokens" not in usage or "cache_read" in offer.rates
                    if known and not takes_a_step_of_standard(usage, offer, offers):
                        yield (key, row["litellm_provider"], offer.tier, usage), provider, name


def takes_a_step_of_standard(usage: dict[str, int], offer: WrittenOffer, offers: list[WrittenOffer]) -> bool:
    """Above a step of the standard tier LiteLLM bills another tier, which has none, at the standard price of long prompts."""

    def at(rates: dict[str, str], length: int) -> dict[str, Rate]:
        return {m: parse_rate(m, text).at(length) for m, text in rates.items() if m in ("input", "output")}

    standard = next(one.rates for one in offers if one.tier == "standard")
    length = usage["prompt_tokens"]
    steps = any(at(standard, length)[m].pico != at(standard, 0)[m].pico for m in at(standard, 0))
    return steps and any(at(offer.rates, length)[m].pico == at(offer.rates, 0)[m].pico for m in at(offer.rates, 0))


def is_same(terms: Terms, theirs: dict[str, str]) -> bool:
    def parsed(rates: Any) -> dict[str, Any]:
        return {meter: parse_rate(meter, text) for meter, text in rates.items() if meter in TOKEN_METERS}

    return "request" not in terms.rates and parsed(terms.rates) == parsed(theirs)
