"""Spans per second of `spectra import`: OTLP JSON files into DuckDB, counted at the destination. Goal: ≥ 20,000.

Each round is a fresh process on a fresh home, as a user runs it: from its start to its exit, with every record merged and
queryable. A line holds 512 spans, as a batch of the collector has, of 22 attributes; every span has an id of its own. Two sizes:
``lean`` spans are about 600 bytes of OTLP protobuf each, ``full`` ones are as the OpenTelemetry GenAI instrumentation names
things, half as large again. JSON takes twice the bytes. CPU is of all processes and threads together: two cores have
100 µs for each span at 20,000/s. ``python bench/bench_import.py [spans] [rounds] [lean|full]``
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import orjson
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from spectra_otel.otlp.json import spans_of

SPANS_PER_LINE = 512
MODELS = ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "o3-2025-04-16")
START = 1_790_000_000_000_000_000


Attributes = dict[str, str | int | bool | list[str]]


def core(random: Random, number: int) -> Attributes:
    """What every chat span has, in any size."""
    snapshot = random.choice(MODELS)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": snapshot[:-11],
        "gen_ai.response.model": snapshot,
        "gen_ai.usage.input_tokens": random.randrange(20, 4000),
        "gen_ai.usage.output_tokens": random.randrange(5, 900),
        "user.id": f"user-{number % 2000}",
        "session.id": f"session-{number % 9000}",
        "server.port": 443,
    }


def lean(random: Random, number: int) -> Attributes:
    """22 attributes in about 600 bytes of protobuf, span included: the app's own have short names."""
    return core(random, number) | {
        "tenant": f"t{number % 50}", "region": "eu", "route": "/chat", "plan": "pro", "build": 4711, "retry": number % 2 == 0,
        "queue": "web", "shard": number % 16, "locale": "de", "beta": False, "step": number % 5, "prompt.id": number % 90,
        "gen_ai.conversation.id": f"c{number % 5000:09d}",
    }  # fmt: skip


def full(random: Random, number: int) -> Attributes:
    """The 22 attributes of a chat span as the OpenTelemetry GenAI instrumentation of OpenAI makes it."""
    attributes = core(random, number)
    return attributes | {
        "gen_ai.response.id": f"chatcmpl-{random.getrandbits(96):024x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.cache_read.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5 if attributes["gen_ai.request.model"] == "o3" else 0,
        "gen_ai.request.max_tokens": 1000,
        "gen_ai.request.stream": number % 2 == 0,
        "gen_ai.conversation.id": f"conversation-{number % 5000}",
        "gen_ai.output.type": "text",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_0123456789",
        "openai.api.type": "chat_completions",
        "server.address": "api.openai.com",
        "spectra.metadata.tenant": f"tenant-{number % 50}",
    }


SIZES = {"lean": lean, "full": full}


def span(random: Random, number: int, size: str = "full") -> dict[str, Any]:
    """A chat span as OTLP JSON has it."""
    started = START + number * 1_000_000
    attributes = SIZES[size](random, number)
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


def write(path: Path, count: int, size: str = "full") -> None:
    """A file of ``count`` spans."""
    random = Random(7)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scope = {"name": "opentelemetry.instrumentation.genai.openai", "version": "1.3b0"}
    with path.open("wb") as file:
        for first in range(0, count, SPANS_PER_LINE):
            spans = [span(random, number, size) for number in range(first, min(first + SPANS_PER_LINE, count))]
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


def protobuf_bytes(size: str) -> int:
    """Bytes of one span as OTLP protobuf, its resource and scope not counted."""
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span(Random(7), 1, size)]}]}]}
    return int(encode_spans(spans_of(document, size)).resource_spans[0].scope_spans[0].spans[0].ByteSize())


def main(count: int, rounds: int, sizes: Sequence[str]) -> None:
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "spans.jsonl"
            write(path, count, size)
            json_bytes = path.stat().st_size / count
            before = cpu_seconds()
            seconds = [once(path, count) for _ in range(rounds)]
            cpu = (cpu_seconds() - before) / rounds
        print(
            f"{size}: {count} spans of 22 attributes, {protobuf_bytes(size)} bytes of protobuf or {json_bytes:.0f} of JSON"
        )
        print(
            f"  {count / statistics.median(seconds):,.0f} spans/s, median of {rounds} (best {count / min(seconds):,.0f}); "
            f"{cpu / count * 1e6:.0f} µs CPU a span; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak {peak:.0f} MiB RSS of the largest process")


def cpu_seconds() -> float:
    """Processor time of all children so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    chosen = sys.argv[3:] or list(SIZES)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000, int(sys.argv[2]) if len(sys.argv) > 2 else 3, chosen)
