"""`estimate` and `prices`, against the catalog that ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.support import Spectra, rows_of

GPT_4O = ("--provider", "openai", "--model", "gpt-4o-2024-08-06")


def test_an_estimate_is_exact(spectra: Spectra) -> None:
    """1,000 tokens at $2.50 and 500 at $10 a million; 200 of the first at half price."""
    cost = rows_of(
        spectra(
            "estimate",
            *GPT_4O,
            "--prompt-tokens",
            1000,
            "--completion-tokens",
            500,
            "--cached-tokens",
            200,
            "--format",
            "json",
        )
    )
    assert cost["prompt_cost_in_cents"] == Decimal("0.225")
    assert cost["completion_cost_in_cents"] == Decimal("0.5")
    assert cost["total_cost_in_cents"] == Decimal("0.725")
    assert (cost["cost_status"], cost["currency"]) == ("priced", "USD")


def test_an_estimate_knows_tiers_and_tools(spectra: Spectra) -> None:
    """Batch is half of it; a web search is a cent."""
    batch = rows_of(spectra("estimate", *GPT_4O, "--prompt-tokens", 1000, "--tier", "batch", "--format", "json"))
    assert batch["total_cost_in_cents"] == Decimal("0.125")
    tools = rows_of(spectra("estimate", *GPT_4O, "--tool", "web_search=3", "--format", "json"))
    assert tools["tool_cost_in_cents"] == Decimal(3)


def test_an_unknown_model_fails_only_when_strict(spectra: Spectra) -> None:
    """Its cost is null, never zero, and names that are near are suggested."""
    arguments = ("estimate", "--provider", "openai", "--model", "gpt-4ox", "--prompt-tokens", "10", "--format", "json")
    lax, strict = spectra(*arguments), spectra(*arguments, "--strict")
    assert (lax.exit_code, strict.exit_code) == (0, 1)
    assert json.loads(lax.stdout)["total_cost_in_cents"] is None
    assert "near: gpt-4o" in lax.stderr


@pytest.mark.parametrize(
    "wrong", [["--prompt-tokens", "-1"], ["--prompt-tokens", "many"], ["--tool", "web_search"], ["--at", "then"]]
)
def test_impossible_quantities_are_usage_errors(spectra: Spectra, wrong: list[str]) -> None:
    """Status 2."""
    assert spectra("estimate", *GPT_4O, *wrong).exit_code == 2


def test_prices_are_listed_by_provider_and_model(spectra: Spectra) -> None:
    """With all their rates."""
    rows = rows_of(
        spectra("prices", "list", "--provider", "openai", "--model", "gpt-4o", "--tier", "standard", "--format", "json")
    )
    plain = next(row for row in rows if row["model"] == "gpt-4o")
    assert plain["rates"] | {"input": "2.5", "cache_read": "1.25", "output": "10"} == plain["rates"]
    assert {row["provider"] for row in rows} == {"openai"}
    assert all("gpt-4o" in json.dumps(row) for row in rows)


def test_the_whole_catalog_can_be_listed(spectra: Spectra) -> None:
    """Thousands of rows, in a second or so."""
    assert len(rows_of(spectra("prices", "list", "--format", "json"))) > 4000


def test_a_price_shows_where_it_was_read(spectra: Spectra) -> None:
    """How the name was matched, and the source of each rate."""
    shown = rows_of(
        spectra("prices", "show", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "--format", "json")
    )
    assert shown["provider"] == "bedrock"
    assert shown["matched_by"]
    assert {"input", "output"} <= {rate["meter"] for rate in shown["rates"]}
    assert all(rate["source"] for rate in shown["rates"])
    assert "input" in spectra("prices", "show", "openai", "gpt-4o").stdout


def test_a_model_without_a_price_is_one_line_and_status_1(spectra: Spectra) -> None:
    """A near miss is not a match."""
    result = spectra("prices", "show", "openai", "gpt-4ox")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_prices_of_your_own_win(spectra: Spectra, tmp_path: Path) -> None:
    """A file that SPECTRA_PRICES names; a fresh process, since prices are read once."""
    prices = tmp_path / "contract.yaml"
    prices.write_text(
        "provider: openai\npage: https://example.com/contract\nread: 2026-11-20\n"
        "prices:\n  - {model: house-model, rates: {input: 1, output: 2}}\n"
    )
    command = [
        sys.executable,
        "-m",
        "spectra_otel.cli",
        "estimate",
        "--provider",
        "openai",
        "--model",
        "house-model",
        "--strict",
    ]
    run = subprocess.run(
        [*command, "--prompt-tokens", "1000000", "--format", "json"],
        env={**os.environ, "SPECTRA_PRICES": str(prices)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["total_cost_in_cents"] == 100
    prices.write_text("prices: 3\n")
    run = subprocess.run(
        command, env={**os.environ, "SPECTRA_PRICES": str(prices)}, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr.count("\n")) == (1, 1), run.stderr
    assert prices.name in run.stderr
