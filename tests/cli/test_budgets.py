"""`spectra budgets`: what is set here holds in every app that shares the ledger."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spectra_otel.budgets import guard
from spectra_otel.budgets.book import book
from spectra_otel.cli import main

CALL = {"provider": "openai", "model": "gpt-4o", "model_type": "text", "user_id": "u1"}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    monkeypatch.delenv("SPECTRA_BUDGETS_URL", raising=False)
    book.reset()


def spectra(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["budgets", *words])
    assert result.exit_code == status, result.output
    return result.output


def test_a_budget_is_set_and_shown_in_the_keys_of_the_vocabulary() -> None:
    """The example of the documentation, to the letter."""
    spectra("set", "per-user", "--cost", "5.00 USD", "--tokens", "2000000", "--requests", "1000", "--period", "daily",
            "--by", "user.id", "--hard")  # fmt: skip
    [row] = json.loads(spectra("status", "per-user", "--bucket", "u1", "--format", "json"))
    assert (row["name"], row["bucket"], row["period"], row["state"]) == ("per-user", "u1", "daily", "ok")
    assert row["limit_cost_in_cents"] == row["remaining_cost_in_cents"] == 500
    assert (row["remaining_tokens"], row["remaining_requests"]) == (2_000_000, 1000)
    assert row["window_start"] < row["resets_at"]
    assert row["resets_at"].endswith("Z")


def test_a_running_app_obeys_what_is_set_here() -> None:
    """A budget of the command line stops the next call, and one that is disabled stops none."""
    spectra("set", "one", "--requests", "1", "--by", "user.id")
    book.reset()
    assert guard.admit(CALL, {"max_tokens": 5}, 50).lease is not None
    rows: list[dict[str, Any]] = json.loads(spectra("status", "--format", "json"))
    assert [(row["bucket"], row["reserved_requests"], row["remaining_requests"]) for row in rows] == [("u1", 1, 0)]
    spectra("disable", "one")
    book.reset()
    assert guard.admit(CALL, {"max_tokens": 5}, 50).lease is None
    assert json.loads(spectra("status", "--format", "json"))[0]["state"] == "disabled"
    spectra("enable", "one")
    assert json.loads(spectra("list", "--format", "json"))[0]["enabled"] is True
    spectra("remove", "one")
    assert json.loads(spectra("list", "--format", "json")) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("set", "x"), "budget 'x': limit: nothing given, valid: at least one of cost, tokens, requests"),
        (("set", "x", "--cost", "-3"), "budget 'x': limit.cost: got '-3', valid: an amount above 0"),
        (("set", "x", "--requests", "1", "--period", "yearly"), "budget 'x': period: got 'yearly', valid: hourly"),
        (("status", "x"), "budget 'x': there is none of that name, valid: none is set"),
        (("enable", "x"), "budget 'x': there is none of that name"),
        (("remove", "x"), "budget 'x': there is none of that name"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_one(words: tuple[str, ...], line: str) -> None:
    """Budget, setting, value, what is valid."""
    output = spectra(*words, status=1)
    assert output.startswith(f"Error: {line}")
    assert output.count("\n") == 1


def test_rebuild_says_what_the_records_would_make_of_it(tmp_path: Path) -> None:
    """The difference is printed; nothing is changed before ``--apply``."""
    from spectra_otel.cli.options import open_store
    from spectra_otel.testing import make_request

    record = make_request(user_id="u1")
    open_store(None).append([record])
    spectra("set", "b", "--cost", "5 USD", "--period", "total", "--by", "user.id")
    [row] = json.loads(spectra("rebuild", "b", "--format", "json"))
    assert (row["bucket"], row["settled_cost_in_cents"], row["difference_requests"]) == ("u1", 0, 1)
    assert row["difference_in_cents"] == float(record["total_cost_in_cents"])
    assert json.loads(spectra("status", "b", "--format", "json"))[0]["settled_requests"] == 0
    spectra("rebuild", "b", "--apply")
    assert json.loads(spectra("status", "b", "--format", "json"))[0]["settled_requests"] == 1


def test_rebuild_counts_what_a_call_without_a_price_costs_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a price of its model is known, the call is not unpriced any more; what was recorded with a cost keeps that."""
    from spectra_otel.cli.options import open_store
    from spectra_otel.testing import make_request

    mine = {"provider": "openai_compatible", "model": "mine", "snapshot": None, "cost_status": "unpriced"}
    unknown = dict.fromkeys(("total_cost_in_cents", "current_cost_in_cents", "prompt_cost_in_cents"))
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "usage_raw": None}
    open_store(None).append([make_request(**mine, **unknown, **usage), known := make_request()])
    spectra("set", "b", "--cost", "5 USD", "--period", "total")
    spectra("rebuild", "b", "--apply")
    assert json.loads(spectra("status", "b", "--format", "json"))[0]["unpriced_requests"] == 1
    (tmp_path / "prices.yaml").write_text(
        "provider: openai_compatible\npage: https://example.com\nread: 2026-11-01\n"
        "prices: [{model: mine, rates: {input: 10, output: 10}}]\n"
    )
    (tmp_path / "spectra.yaml").write_text(
        f"processors: {{usage: , cost: {{prices: [{tmp_path}/prices.yaml]}}}}\n"
        "receivers: {otlp: {protocols: {http: }}}\nexporters: {duckdb: }\n"
        "service: {pipelines: {traces: {receivers: [otlp], processors: [usage, cost], exporters: [duckdb]}}}\n"
    )
    monkeypatch.setenv("SPECTRA_CONFIG", str(tmp_path / "spectra.yaml"))
    [row] = json.loads(spectra("rebuild", "b", "--format", "json"))
    assert row["difference_in_cents"] == 1
    assert row["recorded_cost_in_cents"] == float(known["total_cost_in_cents"]) + 1
    spectra("rebuild", "b", "--apply")
    assert json.loads(spectra("status", "b", "--format", "json"))[0]["unpriced_requests"] == 0


def test_doctor_shows_leases_and_overshoot() -> None:
    """Calls under way, those of a process that is gone, and what calls cost beyond their bounds."""
    spectra("set", "b", "--cost", "5 USD")
    book.reset()
    guard.admit(CALL, {"max_tokens": 5}, 50)
    guard.admit(CALL, {"max_tokens": 5}, 50).settle(
        {**CALL, "total_cost_in_cents": Decimal(7), "cost_status": "priced"}
    )
    code = f"from spectra_otel.budgets import guard\nguard.admit({CALL!r}, {{'max_tokens': 5}}, 50)"
    subprocess.run([sys.executable, "-c", f"{code}\nimport os; os._exit(0)"], check=True)
    result = CliRunner().invoke(main, ["doctor", "--format", "json"])
    found = {row["subject"]: row for row in json.loads(result.stdout) if row["subject"].startswith("budget")}
    assert "1 budgets, 2 calls under way" in found["budgets"]["detail"]
    assert found["budget leases"]["detail"].startswith("1 of processes that are gone")
    assert found["budget overshoot"]["state"] == "attention"
    assert found["budget overshoot"]["detail"].startswith("calls cost 6.")


def test_status_can_be_watched() -> None:
    """It is shown anew, with what has changed, until it is interrupted; that is no error."""
    spectra("set", "b", "--requests", "7")
    book.reset()
    words = [sys.executable, "-u", "-m", "spectra_otel.cli", "budgets", "status", "b", "--watch"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        lines = iter(watching.stdout.readline, "")
        assert next(line.split()[-3] for line in lines if line.startswith("b ")) == "0"
        guard.admit(CALL, {"max_tokens": 5}, 50).settle({**CALL, "total_cost_in_cents": 1, "cost_status": "priced"})
        assert next(line.split()[-3] for line in lines if line.startswith("b ") and line.split()[-3] != "0") == "1"
        watching.send_signal(signal.SIGINT)
        assert "Traceback" not in watching.stderr.read()
