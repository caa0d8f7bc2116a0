"""Contract prices beside the list price, and prices in another currency."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from spectra_otel.pricing import PriceFileError, Pricer, load_overrides, pricer, read_fx, shipped_fx

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
AT = datetime(2026, 10, 1, tzinfo=UTC)


def with_file(tmp_path: Path, text: str, name: str = "contract.yaml", **more: str) -> Pricer:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return pricer([path], **more)  # type: ignore[arg-type]


def test_the_list_price_stays_beside_the_contract(tmp_path: Path) -> None:
    """A multiplier gives what the contract says; the total is the list price as before."""
    own = with_file(tmp_path, 'provider: openai\nmultipliers:\n  - {model: "gpt-4o*", factor: 0.85}\n')
    cost = own.calculate("openai", "gpt-4o", USAGE, at=AT)
    assert (cost.total_cost_in_cents, cost.contract_cost_in_cents, cost.cost_source) == (
        250,
        Decimal("212.5"),
        "catalog",
    )
    assert own.calculate("openai", "gpt-5", USAGE, at=AT).contract_cost_in_cents is None


def test_a_contract_price_of_a_model_comes_before_a_multiplier(tmp_path: Path) -> None:
    """Fixed prices are not multiplied; meters they leave out keep the list price."""
    own = with_file(
        tmp_path,
        "provider: openai\ncontract: true\nprices:\n  - {model: gpt-4o, since: 2026-06-01, rates: {input: 2}}\n"
        "multipliers:\n  - {factor: 0.5}\n",
    )
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}
    assert own.calculate("openai", "gpt-4o", usage, at=AT).contract_cost_in_cents == 200 + 1000
    assert own.calculate("openai", "gpt-4o", usage, at=date(2026, 5, 31)).contract_cost_in_cents == 625


def test_a_contract_price_follows_its_hours_and_the_rates_of_exchange(tmp_path: Path) -> None:
    """However the list price of the model is: dollars, the same at all hours."""
    own = with_file(
        tmp_path,
        "provider: openai\ncontract: true\nprices:\n  - {model: gpt-4o, rates: {input: 1}}\n"
        "  - {model: gpt-4o, hours: 01:00-04:00, rates: {input: 5}}\n"
        "  - {model: gpt-4o-mini, currency: EUR, rates: {input: 1, output: 1}}\n",
    )
    at_night, at_noon, again = (
        own.calculate("openai", "gpt-4o", USAGE, at=AT.replace(hour=hour)).contract_cost_in_cents for hour in (2, 12, 3)
    )
    assert (at_night, at_noon, again) == (500, 100, 500)
    for day in (date(2025, 1, 15), date(2026, 9, 15)):
        exchange = shipped_fx().rate("EUR", "USD", datetime(day.year, day.month, day.day, tzinfo=UTC))
        cost = own.calculate("openai", "gpt-4o-mini", USAGE, at=day).contract_cost_in_cents
        assert exchange is not None
        assert cost == exchange.rate * 100


def test_a_contract_price_is_one_of_its_tier(tmp_path: Path) -> None:
    """A batch has the price of the list, where the contract has none for it; a tier without a price is standard."""
    text = "provider: openai\ncontract: true\nprices: [{model: gpt-4.1, rates: {input: 1.60, output: 6.40}}]"
    prices = with_file(tmp_path, text)
    found = {
        tier: prices.calculate("openai", "gpt-4.1", USAGE, pricing_tier=tier).contract_cost_in_cents
        for tier in ("standard", "batch", "priority", "flex")
    }
    assert found == {"standard": found["flex"], "batch": None, "priority": None, "flex": found["standard"]}
    assert found["standard"] is not None


def test_a_contract_may_be_for_one_account(tmp_path: Path) -> None:
    """Another account of the same provider pays the list price."""
    own = with_file(
        tmp_path, "provider: anthropic\nmultipliers:\n  - {factor: 0.9, account: org-7, since: 2026-01-01}\n"
    )
    ours, theirs = (
        own.calculate(
            "anthropic", "claude-sonnet-4-5", {"prompt_tokens": 100_000, "completion_tokens": 0}, at=AT, account=account
        )
        for account in ("org-7", "org-8")
    )
    assert (ours.total_cost_in_cents, ours.contract_cost_in_cents) == (30, 27)
    assert (theirs.total_cost_in_cents, theirs.contract_cost_in_cents) == (30, None)


def test_what_is_paid_in_advance_costs_nothing_by_contract(tmp_path: Path) -> None:
    """Committed use is a factor of 0; the list price still says what it is worth."""
    own = with_file(tmp_path, "provider: azure\nmultipliers:\n  - {model: gpt-4o, factor: 0}\n")
    cost = own.calculate("azure", "gpt-4o", USAGE, at=AT)
    assert (cost.total_cost_in_cents, cost.contract_cost_in_cents) == (250, 0)


def test_a_price_in_euros_is_exchanged_at_the_rate_of_the_day() -> None:
    """Scaleway lists in euros; the record keeps the rate, and the same call on another day costs another amount."""
    found = shipped_fx().rate("EUR", "USD", date(2026, 10, 29))
    assert found == (Decimal("1.113"), False)
    cost = Pricer().calculate("scaleway", "llama-3.3-70b-instruct", USAGE, at=date(2026, 10, 29))
    assert (cost.total_cost_in_cents, cost.fx_rate, cost.currency) == (90 * Decimal("1.113"), Decimal("1.113"), "USD")
    other = Pricer().calculate("scaleway", "llama-3.3-70b-instruct", USAGE, at=date(2026, 10, 30))
    assert other.total_cost_in_cents == 90 * Decimal("1.1172")


def test_the_total_of_exchanged_parts_is_their_sum() -> None:
    """Each part is exchanged and rounded once."""
    cost = Pricer().calculate(
        "scaleway", "gpt-oss-120b", {"prompt_tokens": 777, "completion_tokens": 333}, at=date(2026, 10, 28)
    )
    assert cost.total_cost_in_cents is not None
    assert cost.total_cost_in_cents == (cost.prompt_cost_in_cents or 0) + (cost.completion_cost_in_cents or 0)


def test_an_old_rate_of_exchange_makes_an_estimate_and_none_no_price() -> None:
    """Never silently: the table ends, and before it began there is nothing."""
    table = shipped_fx()
    assert (
        Pricer(fx=table).calculate("scaleway", "gpt-oss-20b", USAGE, at=date(2026, 12, 24)).cost_status == "estimated"
    )
    assert Pricer(fx=table).calculate("scaleway", "gpt-oss-20b", USAGE, at=date(2028, 1, 1)).cost_status == "unpriced"
    assert Pricer(fx=table).calculate("scaleway", "gpt-oss-20b", USAGE, at=date(2024, 1, 1)).total_cost_in_cents is None


def test_a_rate_grows_old_in_a_process_that_runs_on(tmp_path: Path) -> None:
    """What was found for one day is not kept for a later one."""
    (tmp_path / "fx.csv").write_text("Date,USD\n2026-01-05,1.10\n2026-01-06,1.20\n9999-12-31,2\n")
    prices = with_file(tmp_path, "{}", fx_rates=str(tmp_path / "fx.csv"))
    days = (
        date(2026, 1, 5),
        date(2026, 1, 13),
        date(2026, 1, 14),
        date(2027, 1, 7),
        date(2027, 1, 8),
        date(2026, 1, 7),
    )
    found = [prices.calculate("scaleway", "gpt-oss-20b", USAGE, at=day) for day in days]
    assert [cost.cost_status for cost in found] == ["priced", "priced", "estimated", "estimated", "unpriced", "priced"]
    assert prices.calculate("scaleway", "gpt-oss-20b", USAGE, at=date.max).fx_rate == 2


def test_amounts_may_be_in_another_currency_than_dollars() -> None:
    """All of a record's amounts are in the ledger's currency; what is listed in it is not exchanged."""
    euros = Pricer(currency="EUR")
    ours = euros.calculate("scaleway", "gpt-oss-20b", USAGE, at=AT)
    assert (ours.total_cost_in_cents, ours.currency, ours.fx_rate) == (5, "EUR", None)
    theirs = euros.calculate("openai", "gpt-4o", USAGE, at=date(2026, 10, 30))
    assert theirs.fx_rate == Decimal("0.89509488")
    assert theirs.total_cost_in_cents == 250 * Decimal("0.89509488")


def test_a_table_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    """A file of the same form, named in the configuration."""
    (tmp_path / "fx.csv").write_text("Date,USD\n2026-10-29,2\n")
    own = with_file(tmp_path, "{}", fx_rates=str(tmp_path / "fx.csv"))
    assert own.calculate("scaleway", "gpt-oss-20b", USAGE, at=date(2026, 10, 30)).total_cost_in_cents == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("provider: p\ncurrency: EURO\nprices: []\nall_models: {input: 1}\n", "p:2: currency: 'EURO' is not a currency"),
        ("provider: p\naccount: [a]\nprices:\n  - {model: m, rates: {input: 1}}\n", "p:4: account: is the name of one account"),
        ("provider: p\ncontract: yes\nprices:\n  - {model: m, rates: {input: 1}}\n", "p:2: contract: 'yes' (valid: true, false)"),
        ("provider: p\nmultipliers:\n  - {factor: -1}\n", "p:3: factor: '-1' is not a number such as 0.85"),
        ("provider: p\nmultipliers:\n  - {factor: 1, x: 2}\n", "p:3: unknown key 'x'"),
        ("provider: p\nprices:\n  - {model: m, days: '89', rates: {input: 1}}\n", "p:3: days: '89'"),
        ("provider: p\nprices:\n  - {model: m, since: 2026-13-01, rates: {input: 1}}\n", "p:3: since: '2026-13-01' is not a day"),
    ],
)  # fmt: skip
def test_a_bad_contract_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    """File, line, what is wrong and what is valid."""
    path = tmp_path / "p"
    path.write_text(text)
    with pytest.raises(PriceFileError) as error:
        load_overrides([path])
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fx.csv:1: the first line is Date and ISO 4217 codes"),
        ("Date,DOLLAR\n", "fx.csv:1: the first line"),
        ("Date,USD,USD\n", "fx.csv:1: the first line is Date and ISO 4217 codes, each once"),
        (
            "\ufeffDate,USD,\n2026-10-30,1,1172\n",
            "fx.csv:2: '2026-10-30,1,1172' has more rates than there are currencies",
        ),
        ("Date,USD\n2026-10-30,abc\n", "fx.csv:2: '2026-10-30,abc' is not a day and its rates"),
        ("Date,USD\n2026-10-30,NaN\n", "fx.csv:2: "),
        ("Date,USD\n2026-10-30,0\n", "fx.csv:2: "),
        ("Date,USD\n2026-10-30,1\n2026-10-30,2\n", "fx.csv:3: 2026-10-30 stands here twice"),
    ],
)
def test_a_bad_table_of_rates_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    """Nothing of it is used."""
    path = tmp_path / "fx.csv"
    path.write_text(text)
    with pytest.raises(PriceFileError) as error:
        read_fx(path)
    assert str(error.value).startswith(message)


def test_an_unknown_currency_of_the_ledger_is_refused() -> None:
    """ISO 4217 alone."""
    with pytest.raises(PriceFileError, match="currency: 'usd' is not a currency of ISO 4217"):
        Pricer(currency="usd")
