"""Marginal prices: each unit at the rate of the place where it stands."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra_otel.pricing import Pricer, estimate_request, pricer
from spectra_otel.pricing.cost import Priced, PriceLabel
from spectra_otel.pricing.export import export
from spectra_otel.pricing.plan import Plan
from spectra_otel.pricing.units import Rate, parse_rate

RATES = {"input": "1 beyond 10: 3 beyond 20: 5", "cache_read": "0.5 beyond 10: 1", "output": "7 beyond 15: 9"}


def table(model_type: str, rates: dict[str, str]) -> Priced:
    parsed = {meter: parse_rate(meter.partition(" ")[0], text) for meter, text in rates.items()}
    return Priced(Plan(model_type, parsed), PriceLabel("catalog", "p/m", "v", False))


def with_file(tmp_path: Path) -> Pricer:
    path = tmp_path / "p.yaml"
    path.write_text(
        'provider: p\nprices:\n  - {model: m, rates: {input: "1.25 beyond 200K: 2.50", output: 10, cache_write: 2}}\n'
    )
    return pricer([path])


def one_by_one(prompt: int, cached: int, completion: int) -> Fraction:
    """The definition: every token on its own, in USD for a million."""

    def at(base: str, steps: list[tuple[int, str]], place: int) -> Fraction:
        return Fraction(next((usd for start, usd in reversed(steps) if place >= start), base))

    whole = Fraction(0)
    for place in range(prompt + completion):
        if place < cached:
            whole += at("0.5", [(10, "1")], place)
        elif place < prompt:
            whole += at("1", [(10, "3"), (20, "5")], place)
        else:
            whole += at("7", [(15, "9")], place)
    return whole


@settings(max_examples=300, deadline=None)
@given(prompt=st.integers(0, 40), completion=st.integers(0, 40), share=st.fractions(0, 1))
def test_every_token_costs_what_its_place_says(prompt: int, completion: int, share: Fraction) -> None:
    """Cached tokens stand first, then the rest of the prompt, then the answer."""
    cached = int(prompt * share)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
    total = table("text", RATES).cost(usage).total_cost_in_cents
    assert total == Decimal(int(one_by_one(prompt, cached, completion) * 10_000)).scaleb(-8)


@settings(max_examples=200, deadline=None)
@given(quantity=st.integers(0, 100), start=st.integers(0, 100))
def test_the_pieces_are_the_whole(quantity: int, start: int) -> None:
    """However a quantity stands, nothing of it is lost or doubled, and more never costs less."""
    rate = parse_rate("input", RATES["input"])

    def units(amount: int) -> Fraction:
        return sum((flat.units(piece) for piece, flat in rate.spread(Fraction(amount), start)), Fraction(0))

    assert sum(piece for piece, _ in rate.spread(Fraction(quantity), start)) == quantity
    assert units(quantity) < units(quantity + 1)


def test_at_the_step_exactly_nothing_is_behind_it(tmp_path: Path) -> None:
    """200,000 tokens are all at the first price, the next one alone is dearer."""
    prices = with_file(tmp_path)
    found = [
        prices.calculate("p", "m", {"prompt_tokens": n, "completion_tokens": 0}).total_cost_in_cents
        for n in (200_000, 200_001, 300_000)
    ]
    assert found == [25, Decimal("25.00025"), 50]


def test_the_first_megapixel_of_each_image_has_its_own_price() -> None:
    """Three images of 2048x1536 are three first megapixels and six more; one of 1024x1024 has the first alone."""
    images = table("image", {"megapixel": "0.03 beyond 1: 0.015"})
    three = images.cost({"image_count": 3, "image_size": "2048x1536"})
    assert three.total_cost_in_cents == 100 * (3 * Decimal("0.03") + 6 * Decimal("0.015"))
    assert images.cost({"image_count": 1, "image_size": "1024x1024"}).total_cost_in_cents == 3


def test_a_multiplied_price_keeps_its_steps() -> None:
    """A contract's factor holds for all rates, and the text says what the rate is."""
    rate = parse_rate("input", "1 beyond 10: 3").times(Fraction(1, 2))
    assert [flat.units(piece) for piece, flat in rate.spread(Fraction(12))] == [50_000, 30_000]
    assert rate.marginal
    assert rate.flat(dearest=True) == Rate(3 * 10**12, 2 * 10**6)


@settings(max_examples=100, deadline=None)
@given(prompt=st.integers(1, 1000), cached=st.integers(0, 1000), completion=st.integers(0, 50))
def test_no_call_costs_more_than_its_bound(
    tmp_path_factory: pytest.TempPathFactory, prompt: int, cached: int, completion: int
) -> None:
    """Whatever of a prompt was cached or written, and where its answer stood."""
    path = tmp_path_factory.getbasetemp() / "bounds.yaml"
    path.write_text(
        "provider: p\nprices:\n"
        '  - {model: m, rates: {input: 5, cache_read: "1 beyond 100: 9", cache_write: 2, output: "8 beyond 50: 1"}}\n'
    )
    own = pricer([path])
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * prompt}], "max_tokens": 50}
    bounds = estimate_request("p", body, with_pricer=own)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": min(cached, prompt)}
    cost = own.calculate("p", "m", usage).total_cost_in_cents
    assert cost is not None
    assert bounds.lower_in_cents is not None
    assert bounds.upper_in_cents is not None
    assert bounds.lower_in_cents <= cost <= bounds.upper_in_cents


@pytest.mark.parametrize("form", ["ottl", "litellm", "genai-prices"])
def test_a_form_that_cannot_say_it_leaves_it_out(tmp_path: Path, form: str) -> None:
    """With the reason; the plain JSON has the rate as it is written."""
    prices = with_file(tmp_path)
    assert export(prices, form, ["p/m"]).left_out == ["p/m has prices for what is behind so many tokens"]
    assert "1.25 beyond 200K: 2.50" in export(prices, "json", ["p/m"]).text
