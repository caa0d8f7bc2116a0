"""A long run in one process: does its memory grow with the calls, and is every call in the database in the end?

    python bench/bench_soak.py [--calls 1000000] [--every 10000] [--no-store]

Calls go through our real instrumentor of httpx against a MockTransport, in turns: whole answers, streams read to their end,
closed early or let go of, refusals and broken connections. The store writes and merges behind, as in any app. Every
``--every`` calls all that waits is written, so that what is left is what stays. Printed are RSS by calls, its slope over the
second half in bytes per call (goal: none; 1 is a megabyte in a million calls), and the records that are missing in the end
(goal: 0).
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2

URL = "https://api.openai.com/v1/chat/completions"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 20}]}
USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
HEAD = {"created": 1, "model": "gpt-4o-2024-08-06"}
NO_STORE = """
receivers: {otlp: {protocols: {http: {}}}}
processors: {usage: {}, cost: {}}
exporters: {file: {path: /dev/null}}
service: {pipelines: {traces: {receivers: [otlp], processors: [usage, cost], exporters: [file]}}}
"""
_numbers = itertools.count()


class Chunks(httpx2.SyncByteStream):
    """A streamed answer of ten events."""

    def __init__(self, number: int) -> None:
        head = {**HEAD, "id": f"chatcmpl-{number}"}
        delta = {"choices": [{"index": 0, "delta": {"content": "tok "}, "finish_reason": None}]}
        rows = [{**head, **delta}] * 9 + [{**head, "choices": [], "usage": USAGE}]
        self.events = [b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows]

    def __iter__(self) -> Iterator[bytes]:
        yield from self.events
        yield b"data: [DONE]\n\n"


def answer(request: httpx2.Request) -> httpx2.Response:
    number = next(_numbers)
    if b'"stream":true' in request.content:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(number))
    if number % 20 == 5:
        return httpx2.Response(429, json={"error": {"type": "rate_limit", "message": "slow down"}})
    if number % 20 == 15:
        raise httpx2.ReadTimeout("no answer")
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return httpx2.Response(200, json={**HEAD, "id": f"chatcmpl-{number}", "choices": [choice], "usage": USAGE})


def calls(client: httpx2.Client) -> list[Callable[[], object]]:
    """One of each kind."""
    asks_stream = {**ASK, "stream": True}

    def whole() -> None:
        with suppress(httpx2.ReadTimeout):
            client.post(URL, json=ASK)

    def drained() -> None:
        with client.stream("POST", URL, json=asks_stream) as response:
            for _ in response.iter_lines():
                pass

    def closed_early() -> None:
        with client.stream("POST", URL, json=asks_stream) as response:
            next(response.iter_raw())

    def let_go() -> None:
        response = client.send(client.build_request("POST", URL, json=asks_stream), stream=True)
        next(response.iter_raw())

    return [whole, whole, drained, whole, closed_early, whole, drained, whole, let_go, whole]


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(points: list[tuple[int, int]]) -> float:
    """Bytes per call, least squares, through the smallest of each five points: a merge takes memory and gives it back."""
    points = [min(points[at : at + 5], key=lambda point: point[1]) for at in range(0, len(points) - 4, 5)]
    if len(points) < 2:
        return float("nan")
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def run(count: int, every: int) -> None:
    import spectra_otel as spectra

    spectra.configure()
    if not hasattr(httpx2.Client.send, "__wrapped__"):
        sys.exit("Spectra did not start")
    kinds = calls(httpx2.Client(transport=httpx2.MockTransport(answer)))
    points: list[tuple[int, int]] = []
    begun = time.perf_counter()
    for number in range(count):
        kinds[number % len(kinds)]()
        if (number + 1) % every == 0:
            gc.collect()
            spectra.force_flush()
            points.append((number + 1, resident()))
            print(json.dumps({"calls": number + 1, "rss_mib": round(points[-1][1] / 2**20, 1)}), flush=True)
    spectra.shutdown()
    taken = time.perf_counter() - begun
    half = points[len(points) // 2 :]
    print(json.dumps({"calls": count, "seconds": round(taken), "slope_bytes_per_call": round(slope(half), 2)}))


def stored() -> int:
    """Records in the database, counted by the command line, which merges what waits."""
    asked = ["query", "select count(*) from spectra_requests", "--format", "json"]
    ran = subprocess.run([sys.executable, "-m", "spectra_otel.cli", *asked], capture_output=True, check=True)
    [row] = json.loads(ran.stdout)
    return int(next(iter(row.values())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=10_000)
    parser.add_argument("--no-store", action="store_true", help="write the records nowhere: what is left is ours alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SPECTRA_HOME"] = home
        if args.no_store:
            os.environ["SPECTRA_CONFIG"] = str(Path(home, "config.yaml"))
            Path(home, "config.yaml").write_text(NO_STORE, encoding="utf-8")
        run(args.calls, args.every)
        if not args.no_store:
            print(json.dumps({"missing": args.calls - stored()}))


if __name__ == "__main__":
    main()
