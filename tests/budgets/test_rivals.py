"""Each way in which other programs fail to hold a budget, by its name: here it does not happen.

What they do is read from their source: LiteLLM 1.109.1, MLflow 3.17.2, Laravel Spectra, and what Langfuse and Vercel document.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import spectra_otel as spectra
from spectra_otel.budgets import guard
from spectra_otel.budgets.amounts import Amount, units
from spectra_otel.budgets.book import book
from spectra_otel.budgets.definition import Budget, LimitConfig
from spectra_otel.budgets.ledger import Claim
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.processors.budget.config import Config
from spectra_otel.processors.budget.processor import BudgetProcessor
from spectra_otel.testing import make_request
from tests.budgets.test_contract import BODY, CALL, leased
from tests.cli.support import store_at


def chat(app: LocalProvider, **options: Any) -> Any:
    with openai.OpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
        return client.chat.completions.create(**{**BODY, **options})


def command(*words: str, **environ: str) -> str:
    """What `spectra` prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "spectra_otel.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def price_file(folder: Path, output: int) -> Path:
    """A price of the user's for gpt-4o."""
    path = folder / f"prices-{output}.yaml"
    lines = [
        f"  - {{model: {name}, rates: {{input: 25, output: {output}}}}}" for name in ("gpt-4o", "gpt-4o-2024-08-06")
    ]
    path.write_text("\n".join(["provider: openai", "prices:", *lines]))
    return path


def python(code: str, **environ: str) -> str:
    """Another process that shares the ledger; what it prints."""
    code = f"import spectra_otel as spectra\nfrom spectra_otel.budgets import guard\nCALL, BODY = {CALL!r}, {BODY!r}\n{code}"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environ}
    )
    return ran.stdout.strip()


def test_not_check_then_act() -> None:
    """Calls that check at the same moment do not all pass: what one has reserved is gone for the next."""
    spectra.budgets.set("b", requests=1)
    guard.admit(CALL, BODY, 100)
    with pytest.raises(spectra.BudgetExceededError, match="1 requests under way of 1 requests"):
        guard.admit(CALL, BODY, 100)


def test_not_one_budget_per_worker() -> None:
    """Another process finds what this one has spent."""
    spectra.budgets.set("b", requests=1)
    guard.admit(CALL, BODY, 100).settle({**CALL, "prompt_tokens": 1, "completion_tokens": 1})
    code = "try: guard.admit(CALL, BODY)\nexcept spectra.BudgetExceededError as error: print(error.spent)"
    assert python(code) == "1"


def test_not_lowered_by_pruning_or_repricing(tmp_path: Path) -> None:
    """``spectra reprice`` at twenty times the price, ``spectra prune`` of all there is: what has been counted stays."""
    days = [datetime.now(UTC) - timedelta(days=day) for day in (2, 3)]
    records = [make_request(started_at=day, completed_at=day) for day in days]
    budget = BudgetProcessor(Config([Budget("b", LimitConfig(cost="1 USD", requests=3), "total")]))
    budget.process([record.span for record in records if record.span is not None])
    store_at(tmp_path / "spectra.duckdb").append([dict(record) for record in records])
    counted = book.ledger().states("b")
    assert counted[0].settled.requests == 2
    assert counted[0].settled.cost == sum(units(record["total_cost_in_cents"]) for record in records)
    assert "2 of 2" in command("reprice", SPECTRA_PRICES=str(price_file(tmp_path, 200)))
    assert book.ledger().states("b") == counted
    assert "2 records removed" in command("prune", "--hours", "1")
    assert book.ledger().states("b") == counted
    guard.admit(CALL, BODY)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY)


def test_not_refilled_by_a_deploy() -> None:
    """A process that starts with a changed definition goes on with what was spent; ``disable`` outlives a restart."""
    config = Budget("b", LimitConfig(requests=2), "total")
    book.configure([config])
    guard.admit(CALL, BODY, 100).settle({**CALL, "prompt_tokens": 1, "completion_tokens": 1})
    book.reset()
    book.configure([Budget("b", LimitConfig(requests=3), "total")])
    assert guard.admit(CALL, BODY, 100).lease is not None
    assert spectra.budgets.status("b")[0].limit_requests == 3
    assert spectra.budgets.status("b")[0].settled_requests == 1
    spectra.budgets.disable("b")
    book.reset()
    book.configure([Budget("b", LimitConfig(requests=3), "total")])
    assert book.budgets() == []


def test_not_blocked_by_a_leaked_reservation() -> None:
    """A call that fails in any way gives back its room."""
    spectra.budgets.set("b", requests=1)
    for _ in range(3):
        guard.admit(CALL, BODY, 100).settle({**CALL, "is_failed": True, "cost_status": "not_billed"})
    assert spectra.budgets.status("b")[0].reserved_requests == 0


def test_not_unpriced_as_nothing() -> None:
    """A call whose cost nobody can tell is charged what was reserved for it, and said to be unpriced."""
    spectra.budgets.set("b", cost="1 USD", period="total")
    ticket = guard.admit(CALL, BODY, 100)
    ticket.settle({**CALL, "error_type": "usage_inconsistent"})
    [row] = spectra.budgets.status("b")
    assert units(row.settled_cost_in_cents) == ticket.bound.amount.cost > 0
    assert row.unpriced_requests == 1


def test_not_a_window_that_starts_already_spent() -> None:
    """A new window begins with nothing counted, whatever the one before held."""
    spectra.budgets.set("b", requests=1, period="daily")
    budget = spectra.budgets.get("b")
    assert budget is not None
    today, tomorrow = (datetime(2026, 11, day, 12, tzinfo=UTC).timestamp() for day in (21, 22))
    ledger = book.ledger()
    for moment in (today, tomorrow):
        window = budget.window(moment)
        found = ledger.reserve([Claim("b", "", "daily", window.start, budget.amounts)], Amount(0, 0, 1), Amount())
        ledger.settle(leased(found), Amount(0, 0, 1))
    assert [state.settled.requests for state in ledger.states("b")] == [1, 1]


def test_not_cut_down_to_what_remains_and_run_anyway() -> None:
    """A call whose bound does not fit is not made with a smaller reservation."""
    spectra.budgets.set("b", cost="0.0005 USD", period="total")
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY, 100)


def test_not_thresholds_remembered_per_process() -> None:
    """The event is for the process whose call reached the threshold; one that starts afterwards is not told again."""
    spectra.budgets.set("b", cost="1 USD", thresholds=[0.5])
    code = """
spectra.on(spectra.BudgetThresholdReached)(lambda event: print("reached", event.threshold))
from decimal import Decimal
guard.admit(CALL, BODY).settle({**CALL, "total_cost_in_cents": Decimal(30), "cost_status": "priced"})
guard.alerts.flush(5.0)
"""
    assert [python(code) for _ in range(3)] == ["", "reached 0.5", ""]


def test_not_reset_when_a_price_changes(tmp_path: Path) -> None:
    """A process with other prices goes on with what was counted at the old ones; what it adds is at the new."""
    spectra.budgets.set("b", cost="10 USD", period="monthly", providers=["openai"])
    code = "guard.admit(CALL, BODY).settle({**CALL, 'prompt_tokens': 0, 'completion_tokens': 1_000_000 // 100})"
    for output, settled in ((10, 10), (25, 35), (5, 40)):
        python(code, SPECTRA_PRICES=str(price_file(tmp_path, output)))
        assert spectra.budgets.status("b")[0].settled_cost_in_cents == settled
    assert len(book.ledger().states("b")) == 1


def test_not_admitted_without_a_reservation_where_no_price_is_known() -> None:
    """With ``bound`` a call without a price has room kept for it, at the highest rate: two do not both take the last of it."""
    unknown = {**CALL, "model": "no-such-model"}
    spectra.budgets.set("b", cost="1000 USD", on_unpriced="bound")
    bound = guard.admit(unknown, BODY).bound.amount.cost
    assert bound > 0
    spectra.budgets.remove("b")
    spectra.budgets.set("b", cost=str(Decimal(bound) * 3 / 2 / 10**10), on_unpriced="bound")
    guard.admit(unknown, BODY)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(unknown, BODY)


def test_not_switched_past_the_budget() -> None:
    """The model that a call falls back to is reserved for as well: of many at once, only as many go through as fit."""
    values, body = {**CALL, "model": "gpt-4o-mini"}, {**BODY, "model": "gpt-4o-mini"}
    bound = guard.bounds.upper_bound(guard._request(values, body, 0)).amount.cost
    cost = str(Decimal(bound) * 7 / 2 / 10**10)
    spectra.budgets.set("b", cost=cost, on_exceeded="switch:gpt-4o-mini")
    barrier = threading.Barrier(16)

    def call(_: int) -> bool:
        barrier.wait()
        try:
            return guard.admit(CALL, {**BODY, "max_tokens": 100}).lease is not None
        except spectra.BudgetExceededError:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(call, range(16))) == 3


@pytest.mark.backend
def test_not_forgotten_when_a_cache_expires(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted in Redis, and what is held there, has no time to live."""
    import redis

    monkeypatch.setenv("SPECTRA_BUDGETS_URL", redis_url)
    spectra.budgets.set("b", requests=5)
    guard.admit(CALL, BODY).settle({**CALL, "prompt_tokens": 1, "completion_tokens": 1})
    guard.admit(CALL, BODY)
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter())
        assert len(keys) >= 5
        assert {client.ttl(key) for key in keys} == {-1}


def test_not_blind_to_what_an_sdk_returns(app: LocalProvider) -> None:
    """Answers are the SDK's own objects, and they are counted."""
    spectra.budgets.set("b", cost="1 USD")
    assert not isinstance(chat(app), dict)
    assert spectra.budgets.status("b")[0].settled_cost_in_cents > 0


def test_not_the_last_writer_wins() -> None:
    """Processes that write at once lose nothing of each other's."""
    spectra.budgets.set("b", cost="100 USD")
    code = """
from decimal import Decimal
for _ in range(100):
    guard.admit(CALL, BODY).settle({**CALL, "total_cost_in_cents": Decimal("0.5"), "cost_status": "priced"})
"""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(python, [code] * 3))
    assert spectra.budgets.status("b")[0].settled_cost_in_cents == 150


def test_not_for_web_requests_alone(app: LocalProvider) -> None:
    """A job in the background, without a request around it, is stopped as well."""
    spectra.budgets.set("b", requests=1)
    chat(app)
    failed: list[BaseException] = []

    def job() -> None:
        try:
            chat(app)
        except openai.RateLimitError as error:
            failed.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert len(failed) == len(app.ledger) == 1


def test_not_rounded_to_whole_cents() -> None:
    """Eight digits behind the cent are counted: a thousand calls of a thousandth of a cent are one cent."""
    spectra.budgets.set("b", cost="1 USD")
    for _ in range(100):
        guard.admit(CALL, BODY).settle({**CALL, "total_cost_in_cents": Decimal("0.00100001"), "cost_status": "priced"})
    assert spectra.budgets.status("b")[0].settled_cost_in_cents == Decimal("0.100001")


def test_not_a_soft_cap_for_calls_in_flight() -> None:
    """Calls under way hold their room: when the first is settled at the limit, no other is there to go beyond it."""
    spectra.budgets.set("b", cost="0.0128 USD")
    tickets = []
    while True:
        try:
            tickets.append(guard.admit(CALL, BODY))
        except spectra.BudgetExceededError:
            break
    assert len(tickets) > 1
    for ticket in tickets:
        ticket.settle(
            {**CALL, "total_cost_in_cents": Decimal(ticket.bound.amount.cost) / 10**8, "cost_status": "priced"}
        )
    [row] = spectra.budgets.status("b")
    assert row.settled_cost_in_cents <= Decimal("1.28")
    assert row.overshoot_in_cents == 0
