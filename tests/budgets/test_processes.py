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
from spectra_otel.budgets import alerts, guard, owed, ticket
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


TROUBLES = {
    "maxmemory": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "read only replica": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "permission": (
        ("ACL", "SETUSER", "default", "-eval", "-evalsha"),
        ("ACL", "SETUSER", "default", "+eval", "+evalsha"),
    ),
}


@pytest.mark.backend
@pytest.mark.parametrize("trouble", TROUBLES)
def test_redis_that_takes_nothing_more_is_one_that_is_gone(redis: Redis, trouble: str) -> None:
    """Full, made a replica, or closed to us: one line says why, and all is counted when that is over."""
    from redis import Redis as Client

    spectra.budgets.set("hard", cost="1 USD")
    under_way = guard.admit(CALL, BODY)
    with Client.from_url(redis.url) as client:
        client.execute_command(*TROUBLES[trouble][0])
        with pytest.raises(spectra.BudgetExceededError, match="'hard' cannot be counted") as caught:
            guard.admit(CALL, BODY)
        settle(under_way, 20)
        client.execute_command(*TROUBLES[trouble][1])
    assert trouble in str(caught.value)
    assert "\n" not in str(caught.value)
    book.refresh()
    settle(guard.admit(CALL, BODY), 10)
    owed.flush()
    [row] = spectra.budgets.status("hard")
    assert (row.settled_cost_in_cents, row.reserved_requests) == (30, 0)


@pytest.mark.backend
def test_redis_that_closes_what_is_idle_and_forgets_scripts(redis: Redis) -> None:
    """Neither is noticed: the connection is made anew, and the script sent again."""
    from redis import Redis as Client

    spectra.budgets.set("hard", requests=3)
    with Client.from_url(redis.url) as client:
        for command in (("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), ("SCRIPT", "FLUSH")):
            settle(guard.admit(CALL, BODY), 1)
            client.execute_command(*command)
        settle(guard.admit(CALL, BODY), 1)
    with pytest.raises(spectra.BudgetExceededError, match="3 requests spent and 0 requests under way"):
        guard.admit(CALL, BODY)


@pytest.mark.backend
def test_redis_that_may_forget_is_named(redis: Redis) -> None:
    """A server that makes room by itself is no place to count in; the doctor says so."""
    from redis import Redis as Client

    spectra.budgets.set("hard", requests=3)
    assert book.ledger().health().doubt == ""
    with Client.from_url(redis.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert "maxmemory-policy is allkeys-lru" in book.ledger().health().doubt


@pytest.mark.backend
def test_a_process_that_forks_shares_no_connection_with_its_child(redis: Redis) -> None:
    """Parent and children count at once, each on connections of its own."""
    script = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.ledger import Claim, open_ledger
ledger = open_ledger(sys.argv[1])
claim = Claim("b", "", "total", 0, Limit(10**15))
def many(count):
    for _ in range(count):
        ledger.settle(ledger.reserve([claim], Amount(2, 1, 1), Amount()), Amount(1, 1, 1))
many(5)
threads = [threading.Thread(target=many, args=(300,)) for _ in range(2)]
for thread in threads: thread.start()
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        try: many(50)
        except BaseException: os._exit(1)
        os._exit(0)
    children.append(child)
failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
for thread in threads: thread.join()
[state] = ledger.states()
print(failed, state.settled.requests, state.reserved.requests)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, redis.url], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.split() == ["0", "1005", "0"]


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
