"""Real-looking records of a month, and how to read what a command printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from click.testing import Result

from spectra_otel.component import Kind, registry
from spectra_otel.pricing import calculate

Record = dict[str, Any]
Spectra = Callable[..., Result]
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

KINDS: list[Record] = [
    {"provider": "openai", "model": "gpt-4o", "prompt_tokens": 1200, "completion_tokens": 100, "cached_tokens": 1024},
    {"provider": "openai", "model": "gpt-4o", "prompt_tokens": 300, "completion_tokens": 80, "cached_tokens": 0},
    {"provider": "openai", "model": "o3", "prompt_tokens": 50, "completion_tokens": 900, "reasoning_tokens": 700},
    {"provider": "anthropic", "model": "claude-sonnet-4-5", "prompt_tokens": 2100, "completion_tokens": 60,
     "cache_write_tokens": 2048, "is_streaming": True, "time_to_first_token_ms": 180, "tokens_per_second": 55.5},
    {"provider": "google", "model": "gemini-2.5-pro", "prompt_tokens": 400, "completion_tokens": 40,
     "tool_call_counts": {"web_search": 2}},
    {"provider": "openai", "model": "gpt-4ox", "prompt_tokens": 10, "completion_tokens": 10},
    {"provider": "openai", "model": "text-embedding-3-small", "model_type": "embedding", "operation": "embeddings",
     "prompt_tokens": 9, "completion_tokens": None},
]  # fmt: skip


def record(number: int, **values: Any) -> Record:
    """A whole record, priced by the catalog."""
    started = NOW - timedelta(hours=7 * number, minutes=1)
    latency = 100 + 37 * number
    made: Record = {
        "id": f"{number + 1:032x}-{number + 1:016x}", "trace_id": f"{number + 1:032x}", "span_id": f"{number + 1:016x}",
        "model_type": "text", "operation": "chat", "pricing_tier": "standard", "started_at": started,
        "completed_at": started + timedelta(milliseconds=latency), "latency_ms": latency, "status_code": 200, "is_failed": False,
        "user_id": f"user-{number % 3}", "tags": ["prod", f"team-{number % 2}"],
        "metadata": {"tenant": {"id": number % 2}, "feature": "search"}, "conversation_id": f"conversation-{number % 4}",
        "trackable_type": "team", "trackable_id": str(number % 2), "service_name": "shop", "environment": "prod",
        "provider_account": "org-1",
        **KINDS[number % len(KINDS)], **values,
    }  # fmt: skip
    cost = calculate(made["provider"], made["model"], made, at=started)
    names = (
        "total_cost_in_cents",
        "prompt_cost_in_cents",
        "completion_cost_in_cents",
        "tool_cost_in_cents",
        "cost_status",
    )
    made |= {name: getattr(cost, name) for name in names if name not in values}
    made |= {
        "current_cost_in_cents": made["total_cost_in_cents"],
        "current_cost_status": made["cost_status"],
        "currency": "USD",
    }
    return {name: value for name, value in made.items() if value is not None}


def records() -> list[Record]:
    """Sixty calls over the last weeks, two of them failed."""
    refused = {"is_failed": True, "status_code": 429, "error_type": "rate_limit_exceeded", "prompt_tokens": None,
               "completion_tokens": None, "cost_status": "not_billed", "total_cost_in_cents": Decimal(0)}  # fmt: skip
    return [record(number, **(refused if number in (8, 15) else {})) for number in range(60)]


def total(rows: Sequence[Record]) -> Decimal:
    """Sum of the known costs, in cents."""
    return sum((row["total_cost_in_cents"] for row in rows if row.get("total_cost_in_cents") is not None), Decimal(0))


def store_at(path: Path) -> Any:
    """The store of a file, as the commands reach it."""
    factory = registry(Kind.EXPORTER)["duckdb"]
    assert factory.store is not None
    config = type(factory.default_config())(path=str(path))
    return factory.store(config)


def rows_of(result: Result) -> Any:
    """What a command printed as JSON, money as exact decimals."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_float=Decimal)
