"""The `budget` processor where spans come from elsewhere: counted once, in the window of their start, marked and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

import spectra_otel as spectra
from spectra_otel.budgets import alerts
from spectra_otel.budgets.book import book
from spectra_otel.budgets.definition import Budget, LimitConfig, Webhook
from spectra_otel.model.spans import TrackedSpan, rejected
from spectra_otel.processors.budget.config import Config
from spectra_otel.processors.budget.processor import BudgetProcessor
from spectra_otel.sdk.events import off
from spectra_otel.testing import make_request


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


def test_an_update_of_a_record_and_an_unbilled_call_count_nothing() -> None:
    """A later revision is the same call, and what was not billed took nothing."""
    processor().process([span_of(cost_status="not_billed")])
    assert spectra.budgets.status("b")[0].settled_requests == 0


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that refuses the first request and takes those after it."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        refused = False

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not Handler.refused:
                Handler.refused = True
                self.send_response(503)
            else:
                taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", taken
    server.shutdown()
    server.server_close()


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
