"""The `budget` processor where spans come from elsewhere: counted once, in the window of their start, marked and told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import spectra_otel as spectra
from spectra_otel.budgets import alerts, guard, owed, sqlite_ledger, sqlite_tables, ticket, turnstile
from spectra_otel.budgets.amounts import Amount
from spectra_otel.budgets.book import book
from spectra_otel.budgets.definition import Budget, LimitConfig, Webhook
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan, rejected
from spectra_otel.processors.budget.config import Config
from spectra_otel.processors.budget.processor import BudgetProcessor
from spectra_otel.sdk.events import off
from spectra_otel.testing import make_request
from tests.budgets.conftest import Held
from tests.budgets.test_contract import BODY, CALL
from tests.serving import Handler, serving


def span_of(**fields: Any) -> TrackedSpan:
    record = make_request(**fields)
    assert record.span is not None
    return TrackedSpan(record.span, record, bears_cost=True)


def processor(policy: str = "mark", **settings: Any) -> BudgetProcessor:
    limit = settings.pop("limit", LimitConfig(requests=2))
    return BudgetProcessor(Config([Budget("b", limit, "daily", **settings)], policy=policy))


def test_a_span_that_arrives_twice_is_counted_once() -> None:
    """A replay changes nothing of what is counted."""
    budget, span = processor(), span_of()
    for _ in range(3):
        assert list(budget.process([span])) == [span]
    [row] = spectra.budgets.status("b")
    assert row.settled_requests == 1
    assert row.settled_cost_in_cents == span.record["total_cost_in_cents"]  # type: ignore[index]


def test_a_span_that_arrives_late_counts_in_the_window_in_which_it_started() -> None:
    """Yesterday's call takes nothing from today's budget."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    processor().process([span_of(started_at=yesterday)])
    assert [row.settled_requests for row in spectra.budgets.status("b")] == [0]
    [state] = book.ledger().states("b")
    assert state.settled.requests == 1
    assert state.start == int(yesterday.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


def test_a_span_that_says_who_counted_it_is_not_counted_again() -> None:
    """An app that shares the ledger with its collector has settled the call already."""
    span = span_of()
    span.set_attributes({"spectra.budget.counted": ("b",)})
    processor().process([span])
    assert [row.settled_requests for row in spectra.budgets.status("b")] == [0]


@pytest.mark.parametrize(("policy", "kept"), [("mark", 3), ("drop", 2), ("refuse", 2)])
def test_spans_beyond_the_budget_are_marked_dropped_or_refused(policy: str, kept: int) -> None:
    """The policy says what becomes of them; either way they are counted, and they say so. Twice comes out as once."""
    budget = processor(policy)
    spans = [span_of() for _ in range(3)]
    reasons: list[str] = []
    token = rejected.set(reasons)
    try:
        assert len(budget.process(spans)) == kept
        assert [len(span.events) for span in spans] == [0, 0, 1]
        again = [TrackedSpan(span._source, span.record, bears_cost=True) for span in spans]
        assert len(budget.process(again)) == kept
    finally:
        rejected.reset(token)
    assert reasons == (["budget 'b' is used up"] * 2 if policy == "refuse" else [])
    assert spans[0].attributes is not None
    assert spans[0].attributes["spectra.budget.name"] == "b"
    assert spectra.budgets.status("b")[0].settled_requests == 3


def test_a_budget_that_is_overdrawn_elsewhere_says_so_once() -> None:
    """The event comes with the span that went beyond the limit, not with each after it."""
    said: list[spectra.BudgetExceeded] = []
    spectra.on(spectra.BudgetExceeded)(said.append)
    try:
        processor().process([span_of() for _ in range(5)])
        alerts.flush(5.0)
    finally:
        off(said.append)
    [event] = said
    assert (event.name, event.spent, event.limit, event.blocked) == ("b", 3, 2, False)


def test_an_unbilled_call_counts_nothing() -> None:
    """What was not billed took nothing."""
    processor().process([span_of(cost_status="not_billed")])
    assert spectra.budgets.status("b")[0].settled_requests == 0


def revision(span: TrackedSpan, rev: int, **changes: Any) -> TrackedSpan:
    """A later state of a span's record, as the `usage` and `cost` processors make it of a span that comes later."""
    assert span.record is not None
    values = {name: value for name, value in span.record.items() if value is not None} | changes
    return TrackedSpan(span._source, TrackedRequest(values, span._source, rev=rev), bears_cost=False)


def unpriced(**fields: Any) -> TrackedSpan:
    return span_of(model="no-such-model", snapshot=None, total_cost_in_cents=None, cost_status="unpriced", **fields)


def counted() -> list[tuple[Any, ...]]:
    """What the ledger has, once all that was put off is done."""
    owed.flush()
    return [(*state.settled, state.unpriced) for state in book.ledger().states("b")]


def test_a_cost_that_is_known_later_takes_the_place_of_none() -> None:
    """A revision corrects the count of its record, however often it comes, in the window in which the call started."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    budget, span = processor(), unpriced(started_at=yesterday, total_tokens=7)
    budget.process([span])
    assert counted() == [(0, 7, 1, 1)]
    priced = revision(span, 1, total_cost_in_cents=Decimal(2), cost_status="priced")
    for _ in range(3):
        assert list(budget.process([priced])) == [priced]
        assert counted() == [(2 * 10**8, 7, 1, 0)]
    budget.process([revision(span, 2, total_cost_in_cents=Decimal(3), cost_status="priced"), span, priced])
    assert counted() == [(3 * 10**8, 7, 1, 0)]
    [state] = book.ledger().states("b")
    assert state.start == int(yesterday.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


def test_a_call_that_was_let_through_without_a_price_is_corrected_by_a_later_revision() -> None:
    """What was set aside for it was charged; once its cost is known that is what counts, and it is unpriced no more."""
    budget, span = processor(limit=LimitConfig("1 USD"), on_unpriced="bound"), unpriced(total_tokens=7)
    assert span.context is not None
    guard.admit(CALL | {"model": "no-such-model"}, BODY).leave(span.context)
    budget.process([span])
    [(cost, tokens, requests, without_price)] = counted()
    assert cost > 0
    assert (tokens, requests, without_price) == (7, 1, 1)
    budget.process([revision(span, 1, user_id="u1")])
    assert counted() == [(cost, 7, 1, 1)]
    budget.process([revision(span, 2, total_cost_in_cents=Decimal(2), cost_status="priced")])
    assert counted() == [(2 * 10**8, 7, 1, 0)]


def test_a_call_whose_price_the_pipeline_knows_is_no_longer_unpriced() -> None:
    """Its instrumentor settled it by what the wire said; the record that follows corrects both, cost and count."""
    budget, span = processor(limit=LimitConfig("1 USD"), on_unpriced="mark"), span_of(total_tokens=7)
    assert span.context is not None
    call = guard.admit(CALL | {"model": "no-such-model"}, BODY)
    call.leave(span.context)
    call.settle({**CALL, "model": "no-such-model", "total_tokens": 7})
    assert counted() == [(0, 7, 1, 1)]
    budget.process([span])
    assert span.record is not None
    assert counted() == [(int(span.record["total_cost_in_cents"] * 10**8), 7, 1, 0)]


def test_a_call_that_turns_out_not_to_be_billed_is_taken_back() -> None:
    """Nothing of it is left."""
    budget, span = processor(), span_of()
    budget.process([span, revision(span, 1, total_cost_in_cents=Decimal(0), cost_status="not_billed")])
    assert counted() == [(0, 0, 0, 0)]


def test_a_collector_that_starts_again_knows_what_it_counted() -> None:
    """Neither spans nor revisions that arrive again after a restart count a second time; a new revision corrects once."""
    span = unpriced(total_tokens=7)
    priced = revision(span, 1, total_cost_in_cents=Decimal(2), cost_status="priced")
    for _ in range(3):
        book.reset()
        processor().process([span, priced])
        assert counted() == [(2 * 10**8, 7, 1, 0)]


def test_a_revision_waits_for_its_record_to_be_counted(held_ledger: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger could not be had for the record, the revision comes after it all the same."""
    monkeypatch.setattr(sqlite_tables, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(turnstile, "WAIT_SECONDS", 0.1)
    budget, span = processor(), unpriced(total_tokens=7)
    spectra.budgets.status("b")
    held_ledger.hold()
    budget.process([span, revision(span, 1, total_cost_in_cents=Decimal(2), cost_status="priced")])
    held_ledger.let_go()
    book.refresh()
    assert counted() == [(2 * 10**8, 7, 1, 0)]


def test_two_ledgers_with_a_budget_of_one_name_count_a_call_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app's budget and the collector's are two where their ledgers are two, and one where they share it."""
    processor()
    call = guard.admit(CALL, BODY)
    span = span_of()
    call.settle(span.record or {})
    span.set_attributes(call.marks)
    processor().process([span])
    assert [row.settled_requests for row in spectra.budgets.status("b")] == [1]
    monkeypatch.setenv("SPECTRA_BUDGETS_URL", f"sqlite:///{tmp_path}/collector.db")
    book.reset()
    for _ in range(2):
        processor().process([span])
        assert [row.settled_requests for row in spectra.budgets.status("b")] == [1]


def test_a_budget_that_goes_while_a_call_is_under_way_keeps_nothing_of_it() -> None:
    """It is settled all the same: set to hold again, it has the room that was kept."""
    spectra.budgets.set("b", requests=1)
    span = span_of()
    assert span.context is not None
    guard.admit(CALL, BODY).leave(span.context)
    spectra.budgets.disable("b")
    BudgetProcessor().process([span])
    spectra.budgets.enable("b")
    assert [(row.reserved_requests, row.settled_requests) for row in spectra.budgets.status("b")] == [(0, 1)]


def test_a_collector_tidies_its_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls are only counted the log of the file is checkpointed, too."""
    monkeypatch.setattr(ticket, "_tender", None)
    monkeypatch.setattr(sqlite_ledger, "_WAL_BYTES", 0)
    budget = processor()
    spectra.budgets.status("b")
    ledger: Any = book.ledger()
    ledger.count("long ago", [], Amount(1, 1, 1))
    ledger._run(lambda db: db.execute("UPDATE counted SET at = 1"))
    ledger._tidy_at = 0.0  # whoever tidied it up a moment ago
    budget.process([span_of()])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and ledger._read("SELECT count(*) FROM counted") == [(2,)]:
        time.sleep(0.02)
    assert ledger._read("SELECT count(*) FROM counted") == [(1,)]


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that refuses the first request and takes those after it."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Hook(Handler):
        refused = False

        def do_POST(self) -> None:
            body = self.body()
            if not Hook.refused:
                Hook.refused = True
                self.reply(503)
            else:
                taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.reply(204)

    with serving(Hook) as port:
        yield f"http://127.0.0.1:{port}/hook", taken


def test_a_webhook_is_signed_and_tried_again(hook: tuple[str, list[tuple[dict[str, str], bytes]]]) -> None:
    """The event arrives once the address takes it, with a signature over time and body."""
    url, taken = hook
    alerts.use_webhooks([Webhook(url, "s3cret")])
    processor(thresholds=[0.5]).process([span_of()])
    assert alerts.flush(10.0)
    [(headers, body)] = taken
    event = json.loads(body)
    assert (event["type"], event["name"], event["threshold"], event["unit"]) == (
        "budget.threshold_reached", "b", 0.5, "requests",
    )  # fmt: skip
    moment = int(headers["x-spectra-signature"].split(",")[0].removeprefix("t="))
    assert headers["x-spectra-signature"] == alerts.signature("s3cret", body, moment)


def test_a_slow_address_and_a_slow_listener_are_waited_for_by_nobody(
    hook: tuple[str, list[tuple[dict[str, str], bytes]]],
) -> None:
    """The others are told meanwhile, and what the ledger is owed is done."""
    url, taken = hook
    goes_on, listening = Event(), Event()

    class Slow(Handler):
        def do_POST(self) -> None:
            goes_on.wait(60)
            self.reply(204)

    def listen(_event: object) -> None:
        listening.set()
        goes_on.wait(60)

    with serving(Slow) as slow:
        alerts.use_webhooks([Webhook(f"http://127.0.0.1:{slow}/"), Webhook(url)])
        spectra.on(spectra.BudgetThresholdReached)(listen)
        try:
            processor(thresholds=[0.5]).process([span_of()])
            assert listening.wait(30)
            assert alerts.worker().flush(30.0)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not taken:
                time.sleep(0.02)
            assert len(taken) == 1
            assert not goes_on.is_set()
        finally:
            goes_on.set()
            off(listen)
            assert alerts.flush(30.0)
