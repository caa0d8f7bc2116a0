"""Calls that only other people's spans tell of, stopped when their span starts: for those who ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

import spectra_otel as spectra
from spectra_otel.budgets import Status
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.sdk import runtime
from spectra_otel.tracking import context
from tests.backends.sdks import environments

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
USAGE = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}


class App:
    """An app with instrumentation of somebody else's, and a budget of one request."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self.provider.get_tracer("opentelemetry.instrumentation.openai_v2")

    def call(self, **attributes: Any) -> None:
        with self.tracer.start_as_current_span("chat gpt-4o", attributes={**CALL, **attributes}) as span:
            span.set_attributes(USAGE)

    @property
    def spans(self) -> list[ReadableSpan]:
        spectra.force_flush()
        return list(self._exporter.get_finished_spans())


def configuration(enforces: bool) -> dict[str, Any]:
    budget = {"enforce_on_start": enforces, "budgets": [{"name": "b", "limit": {"requests": 1}, "period": "total"}]}
    pipeline = {"receivers": ["otlp"], "processors": ["usage", "cost", "budget"], "exporters": ["duckdb"]}
    return {
        "receivers": {"otlp": {"protocols": {"http": None}}},
        "processors": {"usage": None, "cost": None, "budget": budget},
        "exporters": {"duckdb": None},
        "service": {"pipelines": {"traces": pipeline}},
    }


@pytest.fixture(params=[True])
def app(request: pytest.FixtureRequest, server: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    server.ledger.clear()
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", server.hosts)
    app = App()
    runtime.configure(configuration(request.param), tracer_provider=app.provider)
    yield app
    runtime.shutdown()


def status() -> Status:
    [row] = spectra.budgets.status("b")
    return row


def test_the_start_of_a_span_raises_where_nothing_is_left(app: App) -> None:
    """The first call is settled with its record; the second does not begin, and is a failed record that cost nothing."""
    app.call()
    assert (status().settled_requests, status().reserved_requests) == (1, 0)
    assert status().settled_cost_in_cents > 0
    with pytest.raises(spectra.BudgetExceededError, match="budget 'b' has no room"):
        app.call()
    good, refused = app.spans
    assert good.attributes is not None
    assert refused.attributes is not None
    assert refused.status.status_code is StatusCode.ERROR
    assert refused.attributes["spectra.budget.blocked"] is True
    assert refused.attributes["spectra.cost.status"] == "not_billed"
    assert [event.name for event in refused.events] == ["spectra.budget.exceeded"]
    assert (status().settled_requests, status().reserved_requests, status().blocked_requests) == (1, 0, 1)


def test_a_call_under_way_keeps_its_place(app: App) -> None:
    """While the first answer streams a second call, which starts beside it, finds no room."""
    span = app.tracer.start_span("chat gpt-4o", attributes=CALL)
    assert status().reserved_requests == 1
    time.sleep(2 * context.AT_ONCE)
    with pytest.raises(spectra.BudgetExceededError):
        app.call()
    span.end()
    assert status().reserved_requests == 0


@pytest.mark.parametrize("app", [False], indirect=True)
def test_nothing_raises_where_nobody_asked_for_it(app: App) -> None:
    """By default such calls are counted when their spans end, and not stopped."""
    app.call()
    app.call()
    assert status().settled_requests == 2


def test_spans_that_are_no_call_start_as_ever(app: App) -> None:
    """Agents, tools and what has nothing to do with models."""
    app.call()
    for name, attributes in (
        ("invoke_agent a", {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o"}),
        ("execute_tool t", {"gen_ai.operation.name": "execute_tool"}),
        ("GET /", {}),
    ):
        app.tracer.start_span(name, attributes=attributes).end()
    assert status().blocked_requests == 0


def test_one_call_seen_twice_keeps_one_place(app: App, server: LocalProvider) -> None:
    """The span of another instrumentation gives way to a span inside it, and to the request that our own client sends."""
    with (
        app.tracer.start_as_current_span("chat gpt-4o", attributes=CALL),
        app.tracer.start_as_current_span("chat gpt-4o", attributes=CALL),
        openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x") as client,
    ):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}], max_tokens=10)
    spectra.force_flush()
    assert len(server.ledger) == 1
    assert (status().settled_requests, status().reserved_requests) == (1, 0)


def test_spans_that_start_at_once_are_one_call_though_neither_is_around_the_other(app: App) -> None:
    """An instrumentation that does not make its span the current one, and the SDK's own span: they keep one place."""
    outer = app.tracer.start_span("anthropic.chat", attributes=CALL)
    inner = app.tracer.start_span("chat gpt-4o", attributes=CALL)
    assert status().reserved_requests == 1
    inner.end()
    outer.end()


@pytest.mark.backend
def test_other_peoples_instrumentations_stop_calls(tmp_path: Path) -> None:
    """With each of them the first call is made, and settled once; the second is not, and the app hears why."""
    environ = {**os.environ, "SPECTRA_HOME": str(tmp_path)}
    script = Path(environments.__file__).parent / "apps" / "two_calls_on_a_budget_of_one.py"
    ran = subprocess.run(
        [str(environments.python_of("pairs")), "-P", str(script)],
        capture_output=True,
        text=True,
        env=environ,
        timeout=100,
    )
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == 8, ran.stderr
    for row in rows:
        assert row == {**row, "said": ["answered", "blocked"], "sent": 1, "settled": 1, "reserved": 0}
