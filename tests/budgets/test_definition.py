"""Definitions: one meaning however they are written, and one clear line for what cannot be."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import spectra_otel as spectra
from spectra_otel.budgets.amounts import parse_money, units
from spectra_otel.budgets.definition import Budget, LimitConfig, bucket_of
from spectra_otel.config.load import load
from spectra_otel.errors import ConfigError


def of(**settings: Any) -> Budget:
    return Budget(**{"name": "b", "limit": LimitConfig(cost="1 USD"), **settings})


@pytest.mark.parametrize("text", ["5", "5.00", "5.00 USD", "$5", "5 usd", 5, 5.0, Decimal("5.00")])
def test_money_is_read_as_people_write_it(text: object) -> None:
    """Five dollars in all spellings are five hundred cents."""
    assert parse_money("cost", text) == 500


def test_money_is_exact() -> None:
    """A tenth of a cent is not what a float makes of it."""
    assert units(parse_money("cost", "0.001 USD")) == 10_000_000
    assert units(parse_money("cost", 0.1)) == 1_000_000_000


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"limit": LimitConfig()}, "budget 'b': limit: nothing given, valid: at least one of cost, tokens, requests"),
        ({"limit": LimitConfig(cost="-5 USD")}, "budget 'b': limit.cost: got '-5 USD', valid: an amount above 0"),
        ({"limit": LimitConfig(cost="5 EUR")}, "budget 'b': limit.cost: got '5 EUR', valid: an amount above 0"),
        ({"limit": LimitConfig(tokens=-1)}, "budget 'b': limit.tokens: got -1, valid: a whole number of 1 or more"),
        ({"limit": LimitConfig(requests=0)}, "budget 'b': limit.requests: got 0, valid: a whole number"),
        ({"period": "fortnightly"}, "budget 'b': period: got 'fortnightly', valid: hourly, daily"),
        ({"timezone": "Nowhere"}, "budget 'b': timezone: got 'Nowhere', valid: UTC or a name"),
        ({"week_start": "someday"}, "budget 'b': week_start: got 'someday', valid: monday"),
        ({"mode": "firm"}, "budget 'b': mode: got 'firm', valid: hard, soft"),
        ({"thresholds": [80]}, "budget 'b': thresholds: got 80, valid: parts above 0 and up to 1"),
        (
            {"on_unpriced": "ignore"},
            "budget 'b': on_unpriced: got 'ignore', valid: block, mark, bound, module:function",
        ),
        ({"on_exceeded": "switch:"}, "budget 'b': on_exceeded: got 'switch:', valid: block, fit, switch:<model>"),
        ({"on_unavailable": "panic"}, "budget 'b': on_unavailable: got 'panic', valid: unset, allow, block"),
        ({"by": [""]}, "budget 'b': by: got '', valid: record fields and span attributes"),
        ({"match": {" ": "x"}}, "budget 'b': match: got ' ', valid: record fields and span attributes"),
        ({"models": [4]}, "budget 'b': models: got 4, valid: names and patterns"),
        ({"name": ""}, "budget '': name: got '', valid: letters, digits"),
        ({"name": "a b"}, "budget 'a b': name: got 'a b', valid"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(settings: dict[str, Any], line: str) -> None:
    """Budget, setting, value, and what is valid."""
    with pytest.raises(ConfigError) as caught:
        of(**settings).validate()
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def write(folder: Path, budgets: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        "receivers: {otlp: {protocols: {http: }}}\n"
        f"processors: {{usage: , cost: , budget: {{budgets: {budgets}}}}}\n"
        "exporters: {debug: }\n"
        "service: {pipelines: {traces: {receivers: [otlp], processors: [usage, cost, budget], exporters: [debug]}}}\n"
    )
    return path


def test_a_file_says_the_same_as_python(tmp_path: Path) -> None:
    """The grammar of the configuration gives the definition that ``budgets.set`` gives."""
    path = write(
        tmp_path,
        "[{name: per-user, limit: {cost: 5.00 USD, tokens: 2000000, requests: 1000}, period: daily, by: [user.id], "
        "mode: hard, thresholds: [0.8, 0.95], on_unpriced: block, on_exceeded: block, models: [gpt-4o*], providers: [openai]}]",
    )
    [config] = [item.config for id_, item in load(path).processors.items() if id_.type == "budget"]
    said = spectra.budgets.set(
        "per-user", cost="5.00 USD", tokens=2_000_000, requests=1000, period="daily", by=["user.id"], mode="hard",
        thresholds=[0.8, 0.95], models=["gpt-4o*"], providers=["openai"],
    )  # fmt: skip
    assert config.budgets == [said]


def test_one_value_is_a_list_of_one() -> None:
    """A word is not taken for its letters."""
    budget = spectra.budgets.set("b", requests=1, by="user.id", models="gpt-4o*", providers="openai", thresholds=0.5)
    assert (budget.by, budget.models, budget.providers, budget.thresholds) == (
        ["user.id"],
        ["gpt-4o*"],
        ["openai"],
        [0.5],
    )


def test_two_budgets_of_one_name_are_refused(tmp_path: Path) -> None:
    """A name stands for one budget."""
    path = write(tmp_path, "[{name: b, limit: {requests: 1}}, {name: b, limit: {requests: 2}}]")
    with pytest.raises(ConfigError, match="two budgets are named 'b', valid: each name once"):
        load(path)


def test_a_scope_is_a_field_or_its_attribute() -> None:
    """``by`` takes record fields, attributes and entries of metadata; several make one bucket."""
    values = {"user_id": "u1", "metadata": {"tenant": "t7"}, "model": "gpt-4o"}
    assert bucket_of(of(by=["user_id"]).scope(values)) == bucket_of(of(by=["user.id"]).scope(values)) == "u1"
    assert bucket_of(of(by=["metadata.tenant"]).scope(values)) == "t7"
    assert bucket_of(of(by=["user.id", "model"]).scope(values)) == "user.id=u1,model=gpt-4o"
    assert bucket_of(of(by=["conversation_id"]).scope(values)) == ""


def test_a_fixed_scope_counts_only_what_matches() -> None:
    """``match`` names the calls that a budget is about; ``*`` stands for anything."""
    budget = of(match={"user.id": "u*", "model": "gpt-4o"})
    assert budget.applies({"user_id": "u1", "model": "gpt-4o"})
    assert not budget.applies({"user_id": "v1", "model": "gpt-4o"})
    assert not budget.applies({"model": "gpt-4o"})
