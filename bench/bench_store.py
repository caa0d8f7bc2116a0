"""How fast records become durable, and queryable, in the DuckDB store.

    python bench/bench_store.py [--rows 100000] [--keep FOLDER]        # Linux

Prints one JSON object: rows a second for appending (encode, checksum, fsync), for merging, and for an import that does both at
once (with the most memory it had); milliseconds for a small merge and for the queries of a dashboard.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from spectra_otel.exporters.duckdb.store import DuckDBStore

START = datetime(2026, 11, 1, tzinfo=UTC)


def records(count: int, seed: int = 0, spacing: float = 0.25) -> Iterator[dict[str, Any]]:
    """Records as a chat application makes them, in order of time."""
    chance = random.Random(seed)
    for number in range(count):
        trace_id, span_id = f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}"
        started = START + timedelta(seconds=number * spacing)
        prompt, completion = chance.randrange(10_000), chance.randrange(1_000)
        cents = [Decimal(tokens).scaleb(-4) for tokens in (prompt, completion)]
        yield {
            "id": f"{trace_id}-{span_id}", "trace_id": trace_id, "span_id": span_id, "response_id": f"chatcmpl-{trace_id}",
            "conversation_id": f"c{number // 7}", "provider": chance.choice(["openai", "anthropic", "google"]),
            "model": chance.choice(["gpt-4o", "gpt-4o-mini", "claude-opus-4", "gemini-3-pro"]), "model_type": "text",
            "operation": "chat", "endpoint": "/v1/chat/completions", "pricing_tier": "standard", "prompt_tokens": prompt,
            "completion_tokens": completion, "total_tokens": prompt + completion, "cached_tokens": prompt // 2,
            "usage_raw": {"input": prompt, "output": completion, "details": {"cached": prompt // 2}},
            "total_cost_in_cents": sum(cents), "prompt_cost_in_cents": cents[0], "completion_cost_in_cents": cents[1],
            "currency": "USD", "cost_status": "priced", "cost_source": "catalog", "price_id": "openai/gpt-4o",
            "price_version": "2026-11-20", "reasoning_tokens": 0,
            "started_at": started, "completed_at": started + timedelta(seconds=1), "latency_ms": chance.randrange(100, 30_000),
            "status_code": 200, "is_failed": False, "is_streaming": True, "finish_reason": "stop",
            "user_id": f"u{chance.randrange(5_000)}", "tags": ["chat", "beta"],
            "metadata": {"tenant": {"id": f"t{chance.randrange(50)}"}}, "service_name": "shop", "environment": "prod",
            "instrumentation": "spectra_otel.httpx", "host_id": "h1", "process_id": "4711",
        }  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def milliseconds(work: Callable[[], object], times: int = 5) -> float:
    """The quickest of some runs of ``work``."""
    return round(min(seconds(work) for _ in range(times)) * 1000, 1)


def streamed(path: Path, count: int) -> tuple[float, int]:
    """Seconds and peak MiB of an import of records as they are made, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_stream, (path, count))


def _stream(path: Path, count: int) -> tuple[float, int]:
    duration = seconds(lambda: DuckDBStore(path).import_records(records(count)))
    return duration, _peak_mib()


def _peak_mib() -> int:
    """Most memory of this process. Not ru_maxrss: that is inherited from the parent, however large it was."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]


def bench(rows: int, folder: Path) -> dict[str, Any]:
    """All measurements, by name."""
    made = list(records(min(rows, 100_000)))
    store = DuckDBStore(folder / "append.duckdb")
    appended = seconds(lambda: store.append(made))
    merged = seconds(store.merge_pending)
    imported, memory = streamed(folder / "import.duckdb", len(made))
    again = seconds(lambda: store.import_records(iter(made)))
    store.append(records(512, seed=1))
    small = seconds(store.merge_pending)
    grown = DuckDBStore(folder / "import.duckdb")
    for seed in range(1, rows // 100_000):
        grown.import_records(records(100_000, seed))
    since = START + timedelta(hours=1)
    return {
        "rows": rows,
        "append_rows_per_second": round(len(made) / appended),
        "merge_rows_per_second": round(len(made) / merged),
        "import_rows_per_second": round(len(made) / imported),
        "import_peak_rss_mib": memory,
        "reimport_rows_per_second": round(len(made) / again),
        "merge_512_ms": round(small * 1000, 1),
        "bytes_per_row": round(grown.path.stat().st_size / rows),
        "costs_by_model_from_rollup_ms": milliseconds(lambda: grown.costs("model", since=since)),
        "costs_by_model_from_rows_ms": milliseconds(lambda: grown.costs("model", since=since + timedelta(seconds=1))),
        "one_request_ms": milliseconds(lambda: grown.request(made[len(made) // 2]["id"])),
        "latest_100_ms": milliseconds(grown.requests),
    }


def main() -> None:
    """Measure in a temporary folder and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    try:
        print(json.dumps(bench(arguments.rows, folder), indent=2))
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
