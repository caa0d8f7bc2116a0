"""Amounts are exact: checked against a definition in Decimal that shares no code with the implementation."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_otel.pricing import Entry, Pricer, calculate, shipped_catalog
from spectra_otel.pricing.calculate import Terms
from spectra_otel.pricing.cost import Priced, PriceLabel
from spectra_otel.pricing.plan import Plan
from spectra_otel.pricing.units import parse_rate

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRICER = Pricer()
ENTRIES = list(shipped_catalog().entries())
TEXT = [e for e in ENTRIES if (o := e.offer("standard", NOW)) and "input" in o.rates and o.currency == "USD"]


def terms_of(entry: Entry, tier: str) -> Terms:
    terms = PRICER.terms(entry, tier, NOW)
    assert terms is not None
    return terms


def usd_per_unit(text: str, prompt: int) -> Decimal:
    """The price of one token, from the text of the catalog, by hand: `1.25 above 200000: 2.5`."""
    head, *steps = text.split(" above ")
    chosen = head
    for step in steps:
        start, _, price = step.partition(": ")
        if prompt > int(start.replace("K", "000")):
            chosen = price
    return Decimal(chosen) / 1_000_000


def by_hand(rates: dict[str, str], usage: dict[str, int]) -> tuple[Decimal, Decimal]:
    """Prompt and completion part in cents: the definition of what text costs."""
    prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
    cached, written, hour = (usage.get(k, 0) for k in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"))
    reasoning = usage.get("reasoning_tokens", 0) if "reasoning" in rates else 0

    def price(*meters: str) -> Decimal:
        return usd_per_unit(next(rates[m] for m in meters if m in rates), prompt)

    with localcontext(Context(prec=80)):
        prompt_usd = (prompt - cached - written) * price("input") + cached * price("cache_read", "input")
        prompt_usd += (written - hour) * price("cache_write", "input")
        prompt_usd += hour * price("cache_write_1h", "cache_write", "input") if hour else 0
        if "request" in rates:
            amount, _, per = rates["request"].partition("/")
            prompt_usd += Decimal(amount) / int(per or 1)
        output_usd = (output - reasoning) * price("output") if output - reasoning else Decimal(0)
        output_usd += reasoning * price("reasoning") if reasoning else 0
        places = Decimal("1e-8")
        return tuple((usd * 100).quantize(places, ROUND_HALF_EVEN) for usd in (prompt_usd, output_usd))  # type: ignore[return-value]


@st.composite
def usages(draw: st.DrawFn) -> dict[str, int]:
    prompt = draw(st.one_of(st.integers(0, 5000), st.integers(100_000, 1_100_000)))
    output = draw(st.integers(0, 200_000))
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": draw(st.integers(0, written)),
        "reasoning_tokens": draw(st.integers(0, output)),
    }


@settings(max_examples=400, deadline=None)
@given(entry=st.sampled_from(TEXT), usage=usages(), tier=st.sampled_from(["standard", "batch", "flex", "priority"]))
def test_a_price_is_the_decimal_definition_to_the_last_digit(entry: Entry, usage: dict[str, int], tier: str) -> None:
    """Any usage of any text model costs what the definition says; the total is the sum of its rounded parts."""
    terms = terms_of(entry, tier)
    if "output" not in terms.rates:
        usage = usage | {"completion_tokens": 0, "reasoning_tokens": 0}
    cost = PRICER.calculate(entry.provider, entry.model, usage, pricing_tier=tier, at=NOW)
    prompt, output = by_hand(terms.rates, usage)
    assert cost.prompt_cost_in_cents == prompt
    assert (cost.completion_cost_in_cents or 0) == output
    assert cost.total_cost_in_cents == prompt + output


def test_every_entry_of_the_catalog_costs_what_the_definition_says() -> None:
    """The same for each text model of the catalog, at a usage of its own."""
    random.seed(7)
    for entry in TEXT:
        prompt, output = random.choice([0, 1, 1234, 199_999, 272_001, 1_000_003]), random.randrange(50_000)
        terms = terms_of(entry, "standard")
        usage = {"prompt_tokens": prompt, "completion_tokens": output if "output" in terms.rates else 0}
        usage["cached_tokens"] = prompt // 3
        listed = PRICER if terms.offer.currency == "USD" else Pricer(currency=terms.offer.currency)
        cost = listed.calculate(entry.provider, entry.model, usage, at=NOW)
        assert cost.total_cost_in_cents == sum(by_hand(terms.rates, usage)), (entry.provider, entry.model)


@settings(max_examples=300, deadline=None)
@given(entry=st.sampled_from(TEXT), usage=usages())
def test_the_quick_way_is_the_definition(entry: Entry, usage: dict[str, int]) -> None:
    """A price from the whole-number path equals the sum of the charges, in every field."""
    rates = {m: parse_rate(m.partition(" ")[0], t) for m, t in terms_of(entry, "standard").rates.items()}
    priced = Priced(Plan(entry.model_type, rates), PriceLabel("catalog", "x", "v", False))
    assert priced.cost(usage) == priced.by_definition(usage)


@settings(max_examples=200, deadline=None)
@given(entry=st.sampled_from(TEXT), usage=usages(), field=st.sampled_from(["prompt_tokens", "completion_tokens"]))
def test_more_usage_never_costs_less(entry: Entry, usage: dict[str, int], field: str) -> None:
    """A price rises with the prompt and with the answer, and is never above the highest rate times the quantity."""
    more = usage | {field: usage[field] + 1}
    one, two = (PRICER.calculate(entry.provider, entry.model, u, at=NOW).total_cost_in_cents for u in (usage, more))
    assert one is not None
    assert two is not None
    assert one <= two
    rates = terms_of(entry, "standard").rates
    tokens = {m: parse_rate(m, t) for m, t in rates.items() if " " not in m and not m.startswith("tool.")}
    highest = max(r.pico for m, rate in tokens.items() if m != "request" for r in (rate, *(s for _, s in rate.steps)))
    request = tokens["request"].units(1) / 10**8 if "request" in tokens else Fraction(0)
    quantity = usage["prompt_tokens"] + usage["completion_tokens"]
    assert Fraction(one) <= Fraction(quantity * highest, 10**16) + request + Fraction(2, 10**8)


def test_cold_and_warm_prices_are_equal() -> None:
    """The first price of a model and the thousandth are the same value."""
    usage = {"prompt_tokens": 12_345, "completion_tokens": 678, "cached_tokens": 90}
    first = Pricer().calculate("openai", "gpt-5", usage, at=NOW)
    assert {PRICER.calculate("openai", "gpt-5", usage, at=NOW) for _ in range(1000)} == {first}


def test_parts_are_rounded_half_to_even_and_then_summed() -> None:
    """Half of 1e-8 cents goes to the even neighbour, in each part alone."""
    plan = Plan("text", {"input": parse_rate("input", "0.00005"), "output": parse_rate("output", "0.00015")})
    priced = Priced(plan, PriceLabel("catalog", "x", "v", False))
    cost = priced.cost({"prompt_tokens": 1, "completion_tokens": 1})  # 0.5 and 1.5 units of 1e-8 cents
    assert cost.prompt_cost_in_cents == 0
    assert cost.completion_cost_in_cents == Decimal("2e-8")
    assert cost.total_cost_in_cents == Decimal("2e-8")


def test_the_context_of_the_caller_does_not_round_money() -> None:
    """A program that set a low Decimal precision still gets all digits."""
    with localcontext(Context(prec=3)):
        cost = calculate("openai", "gpt-4o", {"prompt_tokens": 123_456_789, "completion_tokens": 0}, at=NOW)
    assert cost.total_cost_in_cents == Decimal("30864.19725")


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10**19, "completion_tokens": 1},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {"prompt_tokens": float("inf"), "completion_tokens": 1},
        {"prompt_tokens": Decimal("NaN"), "completion_tokens": 1},
        {"prompt_tokens": "12", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 6},
        {"prompt_tokens": 5, "completion_tokens": 1, "cache_write_tokens": 3, "cached_tokens": 3},
        {"prompt_tokens": 5, "completion_tokens": 1, "cache_write_1h_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 1, "reasoning_tokens": 2},
        {"prompt_tokens": 5, "completion_tokens": 1, "tool_call_counts": {"web_search": -1}},
        {"prompt_tokens": 5, "completion_tokens": 1, "tool_call_counts": 3},
        {"prompt_tokens": 5, "completion_tokens": 1, "image_count": -4},
        {},
        {"prompt_tokens": None, "completion_tokens": None},
    ],
)
def test_impossible_usage_is_unpriced_and_never_raises(usage: dict[str, Any]) -> None:
    """Negative, absurd or contradictory usage has no price; nothing is raised into the caller."""
    cost = calculate("openai", "gpt-4o", usage, at=NOW)
    assert cost.total_cost_in_cents is None
    assert cost.cost_status == "unpriced"


class OddFloat(float):
    """A number as NumPy has them."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


def test_a_number_of_another_library_is_a_number() -> None:
    """As long as it is a float of Python's, too, whatever it calls itself."""
    usage = {"duration_seconds": OddFloat(60.0)}
    assert calculate("openai", "whisper-1", usage) == calculate("openai", "whisper-1", {"duration_seconds": 60.0})


@pytest.mark.parametrize("at", [datetime.max, datetime.max.replace(tzinfo=UTC), date.max, datetime.min, date.min])
def test_a_moment_may_be_any(at: date) -> None:
    """The last or the first there is, also where prices change by the hour."""
    calculate("deepseek", "deepseek-flash", {"prompt_tokens": 1, "completion_tokens": 1}, at=at)


def test_amounts_beyond_the_column_are_unpriced() -> None:
    """A total that DECIMAL(18,8) cannot hold is an error of the usage, not a price."""
    cost = calculate("openai", "o1-pro", {"prompt_tokens": 10**12, "completion_tokens": 10**12}, at=NOW)
    assert cost.total_cost_in_cents is None
