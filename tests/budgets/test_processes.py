"""Budgets between processes: a run that goes on in another service, and a server of counts that goes away in the middle."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import spectra_otel as spectra
from spectra_otel.budgets import alerts, guard, ticket
from spectra_otel.budgets.book import book
from spectra_otel.demo.provider import LocalProvider
from tests.budgets.conftest import free_port, redis_program, wait_for_port
from tests.budgets.test_contract import BODY, CALL

SERVICE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import openai
import spectra_otel as spectra
from opentelemetry import context, propagate

spectra.configure()
client = openai.OpenAI(base_url=sys.argv[1], api_key="x")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        token = context.attach(propagate.extract(dict(self.headers)))  # as every server instrumentation does
        try:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}], max_tokens=10)
            status = 200
        except openai.RateLimitError:
            status = 429
        finally:
            context.detach(token)
        self.send_response(status)
        self.end_headers()
    def log_message(self, *args): pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def service(app: LocalProvider) -> Iterator[str]:
    """Another process with AI calls of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, app.url("openai") + "/v1"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_budget_of_a_run_holds_in_the_services_it_calls(app: LocalProvider) -> None:
    """Two processes draw on one run by the baggage of HTTP requests; a call outside the run is free."""
    instrumentor = HTTPXClientInstrumentor()
    with service(app) as address, httpx.Client(trust_env=False) as client:
        instrumentor.instrument_client(client, tracer_provider=TracerProvider(shutdown_on_exit=False))
        with spectra.budget("run", requests=3) as run:
            guard.admit(CALL, BODY)
            assert [client.get(address).status_code for _ in range(4)] == [200, 200, 429, 429]
            assert run.state().settled.requests == 2
            with pytest.raises(spectra.BudgetExceededError, match="budget 'run'"):
                guard.admit(CALL, BODY)
        assert client.get(address).status_code == 200
    assert len(app.ledger) == 3


class Redis:
    """A Redis of this test's own, that keeps its data over a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        words = [redis_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([*words, *durable], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    server = Redis(tmp_path)
    monkeypatch.setenv("SPECTRA_BUDGETS_URL", server.url)
    yield server
    server.kill()


def settle(one: ticket.Ticket, cents: int) -> None:
    one.settle({**CALL, "total_cost_in_cents": Decimal(cents), "cost_status": "priced"})


@pytest.mark.backend
def test_redis_that_goes_in_the_middle(redis: Redis) -> None:
    """While it is gone hard budgets stop calls and soft ones do not; what was under way is settled once it is back."""
    spectra.budgets.set("hard", cost="1 USD", match={"user.id": "u1"})
    spectra.budgets.set("soft", cost="1 USD", match={"user.id": "u2"}, mode="soft")
    settle(guard.admit({**CALL, "user_id": "u1"}, BODY), 10)
    under_way = guard.admit({**CALL, "user_id": "u1"}, BODY)
    redis.kill()
    begin = time.monotonic()
    settle(under_way, 20)
    with pytest.raises(
        spectra.BudgetExceededError, match="'hard' cannot be counted, and on_unavailable is block"
    ) as caught:
        guard.admit({**CALL, "user_id": "u1"}, BODY)
    assert "\n" not in str(caught.value)
    assert guard.admit({**CALL, "user_id": "u2"}, BODY).lease is None
    assert time.monotonic() - begin < 5
    redis.start()
    book.refresh()
    last = guard.admit({**CALL, "user_id": "u1"}, BODY)
    assert alerts.worker().flush(5.0)
    [row] = spectra.budgets.status("hard")
    assert (row.settled_cost_in_cents, row.settled_requests, row.reserved_requests) == (30, 2, 1)
    settle(last, 70)
    with pytest.raises(spectra.BudgetExceededError, match="has no room"):
        guard.admit({**CALL, "user_id": "u1"}, BODY)


@pytest.mark.backend
def test_redis_that_does_not_answer_does_not_hold_an_event_loop_up(redis: Redis) -> None:
    """A server that hangs is waited for on a thread, for two seconds; the loop turns all the while."""
    spectra.budgets.set("soft", cost="1 USD", mode="soft")
    guard.admit(CALL, BODY)

    async def main() -> tuple[Any, float]:
        waiting = asyncio.create_task(guard.admit_async(CALL, BODY))
        longest, before = 0.0, time.perf_counter()
        while not waiting.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        return waiting.result(), longest

    with redis.frozen():
        admitted, longest = asyncio.run(main())
    assert admitted.lease is None
    assert longest < 1  # of two seconds


@pytest.mark.backend
def test_redis_that_does_not_answer_is_not_waited_for_by_every_call(redis: Redis) -> None:
    """One call in a second finds out whether it is back; the others go on by the policy at once."""
    spectra.budgets.set("soft", cost="1 USD", mode="soft")
    guard.admit(CALL, BODY)
    with redis.frozen():
        begin = time.monotonic()
        for _ in range(20):
            assert guard.admit(CALL, BODY).lease is None
        assert time.monotonic() - begin < 10  # of forty seconds
    book.refresh()
    assert guard.admit(CALL, BODY).lease is not None


def test_budgets_are_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds, refusals and overshoot are counters of the app's meter provider, with the budget's name."""
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    monkeypatch.setattr(alerts._alerts, "_counters", {})
    spectra.budgets.set("b", cost="1 USD", thresholds=[0.5])
    one = guard.admit(CALL, BODY)
    settle(one, 120)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY)
    alerts.flush(5.0)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: [(point.value, dict(point.attributes or {})) for point in metric.data.data_points]  # type: ignore[union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    beyond = float(Decimal(120) - Decimal(one.bound.amount.cost) / 10**8)
    assert found == {
        "spectra.budget.thresholds": [(1, {"spectra.budget.name": "b"})],
        "spectra.budget.exceeded": [(1, {"spectra.budget.name": "b", "spectra.budget.blocked": True})],
        "spectra.budget.overshoot": [(pytest.approx(beyond), {})],
    }
    provider.shutdown()
