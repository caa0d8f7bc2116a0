"""The contract of bounds and ledger, ledgers that cannot be used, budgets of a run, and events."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spectra_otel as spectra
from spectra_otel import pricing
from spectra_otel.budgets import alerts, bounds, guard, ticket
from spectra_otel.budgets.amounts import Amount, Limit, units
from spectra_otel.budgets.book import book
from spectra_otel.budgets.definition import Budget, LimitConfig
from spectra_otel.budgets.ledger import Claim, Lease, Ledger, WouldWait, open_ledger
from spectra_otel.errors import LedgerError

CENT = 10**8
CALL = {"provider": "openai", "model": "gpt-4o", "model_type": "text"}
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}


def claim(name: str, cost: int = 100 * CENT, **more: Any) -> Claim:
    return Claim(name, "", "total", 0, Limit(cost), **more)


def leased(found: Any) -> Lease:
    assert isinstance(found, Lease)
    return found


# -- the ledger ----------------------------------------------------------------------------------------------------------


def test_ten_budgets_are_taken_from_all_or_none(ledger: Ledger) -> None:
    """When the tenth has no room, the nine before it have given nothing."""
    claims = [claim(f"b{n}", 100 * CENT if n < 9 else CENT) for n in range(10)]
    [refusal] = ledger.reserve(claims, Amount(2 * CENT, 1, 1), Amount())  # type: ignore[misc]
    assert refusal.claim.budget == "b9"
    assert all(state.reserved == (0, 0, 0) for state in ledger.states())
    lease = leased(ledger.reserve(claims, Amount(CENT, 1, 1), Amount()))
    assert len([s for s in ledger.states() if s.reserved.cost == CENT]) == 10
    ledger.settle(lease, Amount(CENT // 2, 1, 1))
    assert {(s.settled.cost, s.reserved.cost) for s in ledger.states()} == {(CENT // 2, 0)}


def test_settling_twice_charges_once(ledger: Ledger) -> None:
    """A second settlement of a lease finds nothing to settle."""
    lease = leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    assert len(ledger.settle(lease, Amount(CENT, 1, 1))) == 1
    assert ledger.settle(lease, Amount(CENT, 1, 1)) == []
    assert ledger.states("b")[0].settled.cost == CENT


def test_a_threshold_fires_once_in_all_processes(ledger: Ledger) -> None:
    """Whoever settles the call that reaches it is told, and nobody after."""
    b = claim("b", thresholds=(0.5, 0.8))
    fired: list[float] = []
    for _ in range(10):
        lease = leased(ledger.reserve([b], Amount(10 * CENT, 0, 0), Amount()))
        for counted in ledger.settle(lease, Amount(10 * CENT, 0, 0)):
            fired += counted.fired
    assert fired == [0.5, 0.8]


def test_a_record_that_arrives_twice_is_counted_once(ledger: Ledger) -> None:
    """Late or repeated spans of one call are one call."""
    assert len(ledger.count("trace-span", [claim("b")], Amount(CENT, 5, 1)).counted) == 1
    assert not any(ledger.count("trace-span", [claim("b")], Amount(CENT, 5, 1)))
    assert ledger.states("b")[0].settled == (CENT, 5, 1)


def test_a_record_that_went_beyond_the_limit_has_done_so_for_good(ledger: Ledger) -> None:
    """One that fits stays one that fits when it arrives again, and one that did not does not, whatever was counted since."""
    small = claim("small", 2 * CENT)
    assert ledger.count("r1", [claim("big"), small], Amount(2 * CENT, 5, 1)).over == ()
    assert ledger.count("r2", [claim("big"), small], Amount(1, 5, 1)).over == ("small",)
    assert ledger.count("r1", [claim("big"), small], Amount(2 * CENT, 5, 1)).over == ()
    assert ledger.count("r2", [claim("big"), small], Amount(1, 5, 1)).over == ("small",)


def test_a_refusal_is_counted_once_and_the_first_of_a_window_knows_it(ledger: Ledger) -> None:
    """Though dead leases are looked for before it is final, and an event loop has a thread ask again."""
    full = [claim("b", 1), claim("c", 1)]
    with pytest.raises(WouldWait):
        ledger.reserve(full, Amount(CENT, 0, 0), Amount(), wait=False)
    said = [ledger.reserve(full, Amount(CENT, 0, 0), Amount()) for _ in range(3)]
    assert [[refusal.is_first for refusal in one] for one in said] == [[True] * 2, [False] * 2, [False] * 2]  # type: ignore[union-attr]
    assert [state.blocked for state in ledger.states()] == [3, 3]


def test_overshoot_is_what_a_call_cost_beyond_its_bound(ledger: Ledger) -> None:
    """It is settled in full, and counted apart."""
    lease = leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    ledger.settle(lease, Amount(3 * CENT, 1, 1))
    [state] = ledger.states("b")
    assert (state.settled.cost, state.overshoot) == (3 * CENT, 2 * CENT)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40), st.booleans()), min_size=1, max_size=40), st.data())
def test_overshoot_is_never_more_than_the_contract(
    tmp_path: Path, calls: list[tuple[int, int, bool]], data: Any
) -> None:
    """However calls overlap, what is settled exceeds the limit by no more than Σ (actual − bound)⁺ of those let through."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/{os.urandom(6).hex()}.db")
    budget = claim("b", 100)
    under_way: list[tuple[Lease, int]] = []
    allowance = 0
    for bound, actual, fails in calls:
        found = ledger.reserve([budget], Amount(bound, 0, 0), Amount())
        if isinstance(found, Lease):
            under_way.append((found, 0 if fails else actual))
            allowance += max(0, (0 if fails else actual) - bound)
        if under_way and data.draw(st.booleans()):
            ledger.settle(*_amount(under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))))
    for one in under_way:
        ledger.settle(*_amount(one))
    states = ledger.states("b")
    assert not states or states[0].settled.cost <= 100 + allowance
    assert not states or (states[0].overshoot == allowance and states[0].reserved == (0, 0, 0))


def _amount(one: tuple[Lease, int]) -> tuple[Lease, Amount]:
    return one[0], Amount(one[1], 0, 0)


# -- bounds --------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    words=st.text(min_size=1, max_size=2000),
    limit=st.integers(1, 4000),
    choices=st.integers(1, 4),
    tier=st.sampled_from(["standard", "flex", "priority", "batch"]),
    target=st.sampled_from(
        [("openai", "gpt-4o"), ("openai", "gpt-4.1"), ("anthropic", "claude-opus-5"), ("google", "gemini-2.5-pro")]
    ),
    share=st.floats(0, 1),
    cached=st.booleans(),
)
def test_a_bound_is_never_below_the_cost(
    words: str, limit: int, choices: int, tier: str, target: tuple[str, str], share: float, cached: bool
) -> None:
    """Over random texts, output limits, choices, tiers and cache writes, no call costs more than was reserved for it."""
    provider, model = target
    content: Any = [{"type": "text", "text": words, "cache_control": {"type": "ephemeral"}}] if cached else words
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": limit, "n": choices}
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    bound = bounds.upper_bound(bounds.Request(provider, model, "text", tier, body, len(raw)))
    prompt = max(1, int(share * len(words.encode("utf-8", "surrogatepass"))))
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": limit * choices}
    if cached:
        usage["cache_write_tokens"] = prompt
    for billed in (tier, "standard"):
        cost = pricing.calculate(provider, model, usage, pricing_tier=billed).total_cost_in_cents
        assert cost is not None
        assert units(cost) <= bound.amount.cost
    assert prompt + limit * choices <= bound.amount.tokens


def test_tools_files_and_conversations_are_bounded_by_the_context_window() -> None:
    """What a request only refers to is as long as can be; a tool may run as often as the request lets it."""
    plain = bounds.upper_bound(bounds.Request("openai", "gpt-4o", "text", "standard", BODY, 100))
    continued = bounds.upper_bound(
        bounds.Request("openai", "gpt-4o", "text", "standard", {**BODY, "previous_response_id": "r"}, 100)
    )
    assert plain.amount.tokens < 2_000 < 128_000 <= continued.amount.tokens


def test_a_stream_that_was_cut_is_settled_with_what_was_delivered() -> None:
    """An estimated record charges its estimate."""
    spectra.budgets.set("b", cost="1 USD", period="total")
    ticket = guard.admit(CALL, {**BODY, "stream": True}, 100)
    ticket.settle({**CALL, "prompt_tokens": 10, "completion_tokens": 5, "cost_status": "estimated", "is_aborted": True})
    [row] = spectra.budgets.status("b")
    cost = pricing.calculate("openai", "gpt-4o", {"prompt_tokens": 10, "completion_tokens": 5})
    assert row.settled_cost_in_cents == cost.total_cost_in_cents


@pytest.mark.parametrize("cents", ["1e20", "NaN", "Infinity", "-5"])
@pytest.mark.parametrize("tokens", [2**70, -5])
def test_a_figure_that_no_call_costs_is_one_that_nobody_knows(cents: str, tokens: int) -> None:
    """What was reserved is charged, and nothing of it stays reserved."""
    spectra.budgets.set("b", cost="100 USD", period="total")
    ticket = guard.admit(CALL, BODY)
    ticket.settle({**CALL, "total_cost_in_cents": Decimal(cents), "total_tokens": tokens, "cost_status": "priced"})
    [state] = book.ledger().states("b")
    assert (state.settled, state.unpriced, state.reserved) == (ticket.bound.amount, 1, (0, 0, 0))


def test_a_clock_that_goes_back_refills_nothing() -> None:
    """An hour later, and back again: the window of before is as full as it was."""
    spectra.budgets.set("b", requests=1, period="hourly")
    budget = spectra.budgets.get("b")
    assert budget is not None
    noon = datetime(2026, 11, 21, 12, 30, tzinfo=UTC).timestamp()
    granted = []
    for moment in (noon, noon + 3600, noon):
        window = budget.window(moment)
        found = book.ledger().reserve(
            [Claim("b", "", "hourly", window.start, budget.amounts)], Amount(0, 0, 1), Amount()
        )
        granted.append(isinstance(found, Lease))
    assert granted == [True, True, False]


# -- a ledger that cannot be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "blocks"), [("hard", True), ("soft", False)])
def test_a_corrupt_ledger_stops_hard_budgets_and_lets_soft_ones_through(
    tmp_path: Path, mode: str, blocks: bool
) -> None:
    """One clear line, and the policy decides."""
    (tmp_path / "budgets.db").write_bytes(b"this is no database, and never was one" * 100)
    book.configure([Budget("b", LimitConfig(requests=1), mode=mode)])
    if blocks:
        with pytest.raises(
            spectra.BudgetExceededError, match="cannot be counted, and on_unavailable is block"
        ) as caught:
            guard.admit(CALL, BODY, 100)
        assert "file is not a database" in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        assert guard.admit(CALL, BODY, 100).lease is None


@contextmanager
def powerless() -> Iterator[None]:
    """Somebody to whom the modes of files mean something."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def public_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that others than us can reach, with the ledger in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setenv("SPECTRA_BUDGETS_URL", f"sqlite:///{folder}/ledger.db")
        yield Path(folder)


@pytest.mark.parametrize(("mode", "blocks"), [("hard", True), ("soft", False)])
def test_a_read_only_ledger_is_one_that_cannot_be_used(public_folder: Path, mode: str, blocks: bool) -> None:
    """A file that may be read and not written: one clear line, and the policy decides."""
    spectra.budgets.set("b", requests=5, mode=mode)
    guard.admit(CALL, BODY).release()
    book.ledger().close()  # type: ignore[attr-defined]
    book.reset()
    book.configure([Budget("b", LimitConfig(requests=1), mode=mode)])
    for file in public_folder.iterdir():
        file.chmod(0o444)
    public_folder.chmod(0o555)
    with powerless():
        if blocks:
            with pytest.raises(spectra.BudgetExceededError, match="'b' cannot be counted") as caught:
                guard.admit(CALL, BODY)
            assert str(public_folder / "ledger.db") in str(caught.value)
            assert "\n" not in str(caught.value)
        else:
            assert guard.admit(CALL, BODY).lease is None
    public_folder.chmod(0o755)


def test_a_scope_that_is_never_set_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """All calls share one bucket, which is enforced, and a line says so."""
    spectra.budgets.set("b", requests=2, by=["metadata.never_set"])
    for _ in range(2):
        guard.admit(CALL, BODY)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY)
    assert [row.bucket for row in spectra.budgets.status("b")] == [""]
    lines = [record.getMessage() for record in caplog.records if "shared bucket" in record.getMessage()]
    assert len(lines) == 1
    assert "budget 'b': a call without metadata.never_set counts in the shared bucket ''" in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0", "ftp://nowhere", "sqlite:////proc/no/such/budgets.db", "redis://u:hush@127.0.0.1:port/0",
        "redis://127.0.0.1:1/0?password=hush&no_such=1", "redis://[::1/0", "unix://",
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere_is_a_ledger_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A server that is gone and an address that is none: hard budgets block in one line, soft ones let through."""
    monkeypatch.setenv("SPECTRA_BUDGETS_URL", url)
    book.configure([Budget("b", LimitConfig(requests=1))])
    with pytest.raises(spectra.BudgetExceededError, match="budget 'b' cannot be counted") as caught:
        guard.admit(CALL, BODY, 100)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
    book.reset()
    book.configure([Budget("b", LimitConfig(requests=1), mode="soft")])
    assert guard.admit(CALL, BODY, 100).lease is None


def test_a_change_is_seen_from_an_event_loop_without_waiting_for_the_ledger() -> None:
    """The look at the ledger goes to a thread; the loop goes on with what it knows."""
    import asyncio

    spectra.budgets.set("b", requests=5)

    async def main() -> list[str]:
        known = [one.name for one in book.budgets()]
        book.ledger().define(replace(book.ledger().definitions()[0], enabled=False))
        book._look_at = time.monotonic()
        assert [one.name for one in book.budgets()] == known == ["b"]
        await asyncio.to_thread(alerts.flush, 5.0)
        return [one.name for one in book.budgets()]

    assert asyncio.run(main()) == []


def test_what_tidies_up_opens_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two calls, a budget that is gone and a home that changed leave nothing that a thread would look into."""
    spectra.budgets.set("b", requests=3)
    guard.admit(CALL, BODY)
    book.reset()
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("SPECTRA_HOME", str(elsewhere))
    time.sleep(ticket.TEND_SECONDS * 1.5)
    alerts.flush(5.0)
    assert not elsewhere.exists()


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """A file that a newer program wrote is named, not changed."""
    database = sqlite3.connect(tmp_path / "budgets.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LedgerError, match="newer version"):
        spectra.budgets.status()


# -- tree budgets and events -------------------------------------------------------------------------------------------------


def test_a_tree_budget_reaches_threads_executors_and_tasks() -> None:
    """Whatever is started inside draws on it; what is outside does not."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    def call() -> bool:
        try:
            return guard.admit(CALL, BODY, 100).lease is not None
        except spectra.BudgetExceededError:
            return False

    with spectra.budget("run", requests=3) as run:
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(call()))
        thread.start()
        thread.join()
        with ThreadPoolExecutor() as pool:
            results.append(pool.submit(call).result())

        async def task() -> bool:
            return call()

        results.append(asyncio.run(task()))
        assert results == [True, True, True]
        assert call() is False
        assert run.state().reserved.requests == 3
    assert guard.admit(CALL, BODY, 100).lease is None


def test_nested_tree_budgets_draw_on_their_parents() -> None:
    """The inner one is full first, the outer one has paid for it."""
    with spectra.budget("outer", requests=3) as outer:
        with spectra.budget("inner", requests=1):
            guard.admit(CALL, BODY, 100)
            with pytest.raises(spectra.BudgetExceededError, match="'inner'"):
                guard.admit(CALL, BODY, 100)
        guard.admit(CALL, BODY, 100)
        assert outer.state().reserved.requests == 2


def test_baggage_of_strangers_is_no_budget() -> None:
    """Whatever stands in the entry, nothing is raised and nothing counted."""
    from opentelemetry import baggage
    from opentelemetry import context as context_api

    for text in ("", "x", "a:b:c", "n:1:x:y:z", ":::::", "n:i:-5::", "n:no-time:::1", "n:ffffffffffff-1:::1"):
        token = context_api.attach(baggage.set_baggage("spectra.budget", text))
        try:
            assert guard.admit(CALL, BODY, 100).lease is None
        finally:
            context_api.detach(token)


def test_events_are_said_off_the_call_path() -> None:
    """Thresholds once, each refusal, with amounts in cents and the bucket."""
    said: list[Any] = []
    listening = threading.get_ident()
    threads: list[int] = []

    def listener(event: Any) -> None:
        said.append(event)
        threads.append(threading.get_ident())

    spectra.on(spectra.BudgetThresholdReached)(listener)
    spectra.on(spectra.BudgetExceeded)(listener)
    try:
        spectra.budgets.set("b", cost="1 USD", period="daily", by=["user.id"], thresholds=[0.5])
        values = {**CALL, "user_id": "u1"}
        for _ in range(2):
            guard.admit(values, BODY, 100).settle(
                {**values, "total_cost_in_cents": Decimal(60), "cost_status": "priced"}
            )
        with pytest.raises(spectra.BudgetExceededError):
            guard.admit(values, BODY, 100)
        alerts.flush(5.0)
    finally:
        from spectra_otel.sdk.events import off

        off(listener)
    reached, exceeded = said
    assert (reached.name, reached.threshold, reached.spent, reached.limit) == ("b", 0.5, Decimal(60), Decimal(100))
    assert (exceeded.spent, exceeded.blocked, dict(exceeded.scope)) == (Decimal(120), True, {"user.id": "u1"})
    assert listening not in threads
