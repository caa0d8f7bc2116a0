"""Records for the tests of the store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from spectra_otel.exporters.duckdb.rollups import ROLLUPS
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import TrackedSpan

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def record(number: int = 0, **fields: Any) -> dict[str, Any]:
    """The record of call ``number``: one cent, one a second, each with a trace of its own."""
    trace_id, span_id = f"{number + 1:032x}", f"{number + 1:016x}"
    values = {
        "id": f"{trace_id}-{span_id}",
        "trace_id": trace_id,
        "span_id": span_id,
        "response_id": f"chatcmpl-{number}",
        "provider": "openai",
        "model": "gpt-4o",
        "model_type": "text",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_cost_in_cents": Decimal("1.00000000"),
        "cost_status": "priced",
        "currency": "USD",
        "started_at": NOON + timedelta(seconds=number),
        "completed_at": NOON + timedelta(seconds=number + 1),
        "latency_ms": 1000,
        "is_failed": False,
        "tags": ["a", "b"],
        "service_name": "shop",
    }
    return values | fields


def revised(number: int, rev: int, **fields: Any) -> TrackedRequest:
    """Revision ``rev`` of the record of call ``number``."""
    return TrackedRequest(record(number, **fields), rev=rev)


def spans(*records: dict[str, Any] | None) -> list[ReadableSpan]:
    """Finished spans of the SDK that bear ``records``; None stands for a span without one."""
    tracer = TracerProvider().get_tracer("tests")
    finished: list[ReadableSpan] = []
    for values in records:
        span = tracer.start_span("call")
        span.end()
        assert isinstance(span, ReadableSpan)
        finished.append(span if values is None else TrackedSpan(span, TrackedRequest(values), bears_cost=True))
    return finished


def ids(store: DuckDBStore) -> list[str]:
    """The ids in the store, sorted; one that is there twice is listed twice."""
    return [id for (id,) in store.query("SELECT id FROM spectra_requests ORDER BY id")[1]]


def rollup_differences(store: DuckDBStore) -> Sequence[tuple[str, Any]]:
    """Rows in which a rollup and the sum of the records differ, by rollup; empty when all is well."""
    found: list[tuple[str, Any]] = []
    with store.connect() as connection:
        for rollup in ROLLUPS:
            fresh = rollup.select("spectra_requests")
            keys = [column.name for column in (*rollup.keys, *rollup.sums)]
            names = ", ".join(f"{key}::VARCHAR" for key in keys)
            sql = (
                f"WITH fresh AS (SELECT {names} FROM ({fresh})), kept AS (SELECT {names} FROM {rollup.name}) "
                "SELECT 'missing', * FROM (FROM fresh EXCEPT ALL FROM kept) "
                "UNION ALL SELECT 'too much', * FROM (FROM kept EXCEPT ALL FROM fresh)"
            )
            found += [(rollup.name, row) for row in connection.execute(sql).fetchall()]
    return found


def some_records(count: int, seed: int = 0, days: int = 3) -> list[dict[str, Any]]:
    """Varied records: providers, users, tags, NULLs, failures, over some days."""
    chance = random.Random(seed)
    return [
        record(
            number,
            provider=chance.choice(["openai", "anthropic", None]),
            model=chance.choice(["gpt-4o", "claude-opus-4", None]),
            user_id=chance.choice(["u1", "u2", None]),
            tags=chance.choice([["a"], ["a", "b", "a"], [], None]),
            started_at=NOON + timedelta(seconds=chance.randrange(86_400 * days)),
            total_cost_in_cents=chance.choice([None, Decimal(chance.randrange(10**6)).scaleb(-8)]),
            cost_status=chance.choice(["priced", "unpriced", "partial"]),
            prompt_tokens=chance.choice([None, chance.randrange(1000)]),
            latency_ms=chance.choice([None, 0, chance.randrange(60_000)]),
            is_failed=chance.choice([None, True, False]),
        )
        for number in range(count)
    ]
