"""Spans per second of `spectra import`: OTLP JSON files into DuckDB, counted at the destination. Goal: ≥ 20,000.

Each round is a fresh process on a fresh home, as a user runs it: from its start to its exit, with every record merged and
queryable. A line holds 100 spans of 22 attributes, about as the collector's file exporter writes them; every span has an id
of its own. ``python bench/bench_import.py [spans] [rounds]``
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import orjson

SPANS_PER_LINE = 100
MODELS = ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "o3-2025-04-16")
START = 1_790_000_000_000_000_000


def span(random: Random, number: int) -> dict[str, Any]:
    """A chat span as the OpenTelemetry GenAI instrumentation of OpenAI makes it, with 22 attributes."""
    snapshot = random.choice(MODELS)
    prompt, completion = random.randrange(20, 4000), random.randrange(5, 900)
    started = START + number * 1_000_000
    attributes: dict[str, str | int | bool | list[str]] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": snapshot[:-11],
        "gen_ai.response.model": snapshot,
        "gen_ai.response.id": f"chatcmpl-{random.getrandbits(96):024x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": completion,
        "gen_ai.usage.cache_read.input_tokens": prompt // 2,
        "gen_ai.usage.reasoning.output_tokens": completion // 3 if snapshot.startswith("o3") else 0,
        "gen_ai.request.max_tokens": 1000,
        "gen_ai.request.stream": number % 2 == 0,
        "gen_ai.conversation.id": f"conversation-{number % 5000}",
        "gen_ai.output.type": "text",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_0123456789",
        "openai.api.type": "chat_completions",
        "server.address": "api.openai.com",
        "server.port": 443,
        "user.id": f"user-{number % 2000}",
        "spectra.metadata.tenant": f"tenant-{number % 50}",
        "session.id": f"session-{number % 9000}",
    }
    return {
        "traceId": f"{random.getrandbits(128):032x}", "spanId": f"{random.getrandbits(64):016x}", "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(started), "endTimeUnixNano": str(started + random.randrange(10**8, 5 * 10**9)),
        "attributes": [{"key": key, "value": value_of(value)} for key, value in attributes.items()], "status": {}, "flags": 256,
    }  # fmt: skip


def value_of(value: str | int | bool | list[str]) -> dict[str, Any]:
    """An attribute's value as OTLP JSON has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
    return {"stringValue": value}


def write(path: Path, count: int) -> None:
    """A file of ``count`` spans."""
    random = Random(7)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scope = {"name": "opentelemetry.instrumentation.genai.openai", "version": "1.3b0"}
    with path.open("wb") as file:
        for first in range(0, count, SPANS_PER_LINE):
            spans = [span(random, number) for number in range(first, min(first + SPANS_PER_LINE, count))]
            request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
            file.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))


def once(path: Path, count: int) -> float:
    """Seconds of one import into a new store. Fails if a record or a cost is missing there."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SPECTRA_HOME": home}
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "spectra_otel.cli", "import", path], env=environment, check=True)
        seconds = time.perf_counter() - start
        with duckdb.connect(f"{home}/spectra.duckdb", read_only=True) as connection:
            sql = "SELECT count(*), count(DISTINCT id), count(total_cost_in_cents) FROM spectra_requests"
            if connection.execute(sql).fetchone() != (count, count, count):
                raise SystemExit(f"not all of {count} spans arrived with a cost: {connection.execute(sql).fetchone()}")
    return seconds


def main(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spans.jsonl"
        write(path, count)
        size = path.stat().st_size
        seconds = [once(path, count) for _ in range(rounds)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{count} spans, {size / count:.0f} bytes each, {os.cpu_count()} cores, median of {rounds}")
    print(
        f"{count / statistics.median(seconds):,.0f} spans/s (best {count / min(seconds):,.0f}), peak {peak:.0f} MiB RSS"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
