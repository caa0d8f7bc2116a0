"""How much `spectra collect` takes: OTLP in → durable → queryable, pass-through of what is not GenAI, and how soon it answers.

    python bench/bench_collect.py [--spans 400000] [--only store|pass|latency|phoenix] [--phoenix PYTHON]

Batches of 512 spans, 22 attributes and about 600 B a span, each span with ids, times and numbers of its own, over HTTP on four
connections. They are encoded before the clock starts and sent by a process that does little else, because it shares the
machine's cores. The store is counted at the destination, by a plain DuckDB client; the pass-through at a receiver that counts,
and the first request there is compared with what was sent. Prints one JSON object: spans a second, processor time a span (two
cores have 100 µs for each at 20,000 a second), the most memory of all processes of the collector together, milliseconds until
an answer at half of 20,000 spans a second. With the Python of an environment that has `arize-phoenix`, the first 10,240 spans
of the same go to Phoenix too, counted in its database.
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import duckdb
from bench_import import Attributes, lean
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spectra_otel.otlp.protobuf import write_value

BATCH = 512
CONNECTIONS = 4
HALF_LOAD = 10_000
_REFUSED_SECONDS = 0.2


def other(random: Random, number: int) -> Attributes:
    """22 attributes of a span that is not GenAI."""
    return {f"app.field{i}": number + i if i % 3 else f"value {random.randrange(100)} of it" for i in range(22)}


@dataclass(frozen=True, slots=True)
class Requests:
    """Encoded requests in a file, one after the other."""

    path: Path
    ends: list[int]

    @classmethod
    def write(cls, path: Path, attributes: Callable[[Random, int], Attributes], count: int) -> Requests:
        """``count`` batches, of spans that began 50 µs after each other."""
        random, ends, began = Random(7), [], time.time_ns() - 10**9
        with path.open("wb") as file:
            for first in range(0, count * BATCH, BATCH):
                file.write(_batch(random, first, began, attributes))
                ends.append(file.tell())
            os.fsync(file.fileno())  # or the disk has it to do while the collector's own syncs wait
        return cls(path, ends)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def bytes_per_span(self) -> float:
        return self.ends[-1] / len(self) / BATCH

    def first(self, count: int) -> set[bytes]:
        """The first few."""
        data = self.path.read_bytes()[: self.ends[count - 1]]
        return {data[begin:end] for begin, end in zip([0, *self.ends], self.ends[:count], strict=False)}


def _batch(random: Random, first: int, began: int, attributes: Callable[[Random, int], Attributes]) -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    write_value(group.resource.attributes.add(key="service.name").value, "shop")
    scoped = group.scope_spans.add()
    scoped.scope.name = "opentelemetry.instrumentation.genai.openai" if attributes is lean else "shop"
    for number in range(first, first + BATCH):
        start = began + number * 50_000
        span = scoped.spans.add(
            trace_id=random.randbytes(16), span_id=random.randbytes(8), name="chat", kind=3, flags=256,
            start_time_unix_nano=start, end_time_unix_nano=start + random.randrange(10**8, 5 * 10**9),
        )  # fmt: skip
        for key, value in attributes(random, number).items():
            write_value(span.attributes.add(key=key).value, value)
    return message.SerializeToString()


class Client:
    """Posts requests over a few connections, in a process of its own; one that is refused is sent again."""

    def __init__(self, port: int, requests: Requests) -> None:
        self._port = port
        self._requests = requests

    def run(self, first: int, last: int, connections: int = CONNECTIONS, rate: float = 0.0) -> list[float]:
        """Post requests ``first`` to ``last`` (exclusive), ``rate`` spans a second if given. Seconds that each took."""
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            took: list[float] = pool.apply(self._post_all, (first, last, connections, rate))
        return took

    def _post_all(self, first: int, last: int, connections: int, rate: float) -> list[float]:
        numbers, took = iter(range(first, last)), []
        lock, began = threading.Lock(), time.monotonic()
        with self._requests.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

            def work() -> None:
                with socket.create_connection(("127.0.0.1", self._port)) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as clients of OTLP have it
                    while True:
                        with lock:
                            number = next(numbers, None)
                        if number is None:
                            return
                        if rate:
                            time.sleep(max(0.0, began + (number - first) * BATCH / rate - time.monotonic()))
                        start = self._requests.ends[number - 1] if number else 0
                        body = data[start : self._requests.ends[number]]  # in memory before the clock starts
                        sent = time.monotonic()
                        while not _post(connection, body):
                            time.sleep(_REFUSED_SECONDS)
                        took.append(time.monotonic() - sent)

            with ThreadPoolExecutor(connections) as pool:
                for future in [pool.submit(work) for _ in range(connections)]:
                    future.result()
        return took


def _post(connection: socket.socket, body: bytes) -> bool:
    """Whether a request was accepted. Answers of the collector are short: one packet."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: b\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode())
    connection.sendall(body)
    answer = connection.recv(4096)
    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")):
        raise SystemExit(f"the collector answered {answer[:200]!r}")
    return answer.startswith(b"HTTP/1.1 200")


class Watched:
    """The processes of a collector: what they use together."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self._pid}/task").glob("*/children")
        return [self._pid, *(int(pid) for file in children for pid in file.read_text().split())]

    def peak_mib(self) -> float:
        """The most memory they had, each at its worst moment."""
        found = 0
        for pid in self._pids():
            status = Path(f"/proc/{pid}/status").read_text()
            found += int(status.partition("VmHWM:")[2].split()[0])
        return found / 1024

    def cpu_seconds(self) -> float:
        """Their processor time: what they cost whatever else the machine does."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def collector(folder: Path, pipeline: dict[str, Any]) -> Iterator[tuple[int, Watched]]:
    """A collector in a process of its own; gives its port and what it uses."""
    port, metrics = free_port(), free_port()
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"usage": None, "cost": None},
        "exporters": pipeline,
        "service": {
            "telemetry": {"metrics": {"address": f"127.0.0.1:{metrics}"}, "logs": {"level": "warn"}},
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["usage", "cost"], "exporters": list(pipeline)}
            },
        },
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "spectra_otel.cli", "collect", "--config", str(path)]
    process = subprocess.Popen(command, env={**os.environ, "SPECTRA_HOME": str(folder / "home")})
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise SystemExit("the collector did not start")
            time.sleep(0.05)
        yield port, Watched(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def stored(database: Path) -> tuple[int, ...]:
    """What a plain DuckDB client finds: rows, ids, rows with a cost."""
    while True:
        try:
            with duckdb.connect(str(database), read_only=True) as connection:
                sql = "SELECT count(*), count(DISTINCT id), count(total_cost_in_cents) FROM spectra_requests"
                return tuple(connection.execute(sql).fetchall()[0])
        except duckdb.Error:  # a merge holds it
            time.sleep(0.05)


def bench_store(folder: Path, spans: int) -> dict[str, float]:
    """OTLP in → durable → queryable."""
    batches = spans // BATCH
    requests = Requests.write(folder / "requests", lean, batches + 1)
    database = folder / "bench.duckdb"
    spool = folder / "spool" / database.name
    with collector(folder, {"duckdb": {"path": str(database)}}) as (port, watched):
        client = Client(port, requests)
        client.run(0, 1)  # warm: caches filled, catalog read
        began, used = time.monotonic(), watched.cpu_seconds()
        client.run(1, len(requests))
        acknowledged = time.monotonic() - began
        while any(spool.glob("*.ndjson")):
            time.sleep(0.02)
        queryable = time.monotonic() - began
        used = watched.cpu_seconds() - used
        rows, peak = stored(database), watched.peak_mib()
    total, sent = len(requests) * BATCH, batches * BATCH
    assert rows == (total, total, total), f"{total} spans were acknowledged and {rows} rows, ids and costs are there"
    return {
        "bytes_per_span": requests.bytes_per_span, "spans": sent, "acknowledged_per_second": sent / acknowledged,
        "queryable_per_second": sent / queryable, "cpu_us_per_span": used / sent * 1e6, "peak_mib": peak,
    }  # fmt: skip


@contextmanager
def sink() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP/HTTP server that counts bytes of requests and keeps the first."""
    got: list[Any] = [None, 0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            got[0] = got[0] or data
            got[1] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()


def bench_pass(folder: Path, spans: int) -> dict[str, float]:
    """Batches without a GenAI span, through `usage` and `cost` to an OTLP backend."""
    requests = Requests.write(folder / "requests", other, spans // BATCH)
    with sink() as (url, got):
        exporter = {"endpoint": url, "compression": "none", "retry_on_failure": {"initial_interval": "1s"}}
        with collector(folder, {"otlp_http": exporter}) as (port, watched):
            began, used = time.monotonic(), watched.cpu_seconds()
            Client(port, requests).run(0, len(requests))
            while got[1] < len(requests):
                time.sleep(0.02)
            took, used, peak = time.monotonic() - began, watched.cpu_seconds() - used, watched.peak_mib()
    assert got[0] in requests.first(CONNECTIONS * 4), "the request that arrived is not one that was sent"
    return {
        "bytes_per_span": requests.bytes_per_span, "spans": len(requests) * BATCH,
        "per_second": len(requests) * BATCH / took, "cpu_us_per_span": used / len(requests) / BATCH * 1e6, "peak_mib": peak,
    }  # fmt: skip


def bench_latency(folder: Path, spans: int) -> dict[str, float]:
    """Milliseconds until a batch is acknowledged, at 10,000 spans a second."""
    requests = Requests.write(folder / "requests", lean, min(600, spans // BATCH))
    with collector(folder, {"duckdb": {"path": str(folder / "latency.duckdb")}}) as (port, _):
        client = Client(port, requests)
        client.run(0, 1)
        took = sorted(client.run(1, len(requests), rate=HALF_LOAD))
    return {"batches": len(took), "p50_ms": took[len(took) // 2] * 1000, "p99_ms": took[len(took) * 99 // 100] * 1000}


def bench_phoenix(folder: Path, python: str) -> dict[str, float]:
    """The same requests to Phoenix: accepted, and durable in its SQLite database."""
    requests = Requests.write(folder / "requests", lean, 20)
    port, total = free_port(), len(requests) * BATCH
    settings = {"WORKING_DIR": folder, "PORT": port, "GRPC_PORT": free_port(), "HOST": "127.0.0.1"}
    environment = {f"PHOENIX_{name}": str(value) for name, value in settings.items()} | {
        "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }  # fmt: skip
    command = [str(Path(python).with_name("phoenix")), "serve"]
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        watched = Watched(process.pid)
        while not _listens(port):
            time.sleep(0.1)
        began, used = time.monotonic(), watched.cpu_seconds()
        Client(port, requests).run(0, len(requests))
        accepted = time.monotonic() - began
        with sqlite3.connect(f"file:{folder / 'phoenix.db'}?mode=ro", uri=True) as database:
            while database.execute("SELECT count(*) FROM spans").fetchone()[0] < total:
                time.sleep(0.2)
        durable, used, peak = time.monotonic() - began, watched.cpu_seconds() - used, watched.peak_mib()
    finally:
        process.terminate()
        process.wait(60)
    return {
        "spans": total, "accepted_per_second": total / accepted, "durable_per_second": total / durable,
        "cpu_us_per_span": used / total * 1e6, "peak_mib": peak,
    }  # fmt: skip


BENCHES: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "store": bench_store, "pass": bench_pass, "latency": bench_latency,
}  # fmt: skip


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--only", choices=[*BENCHES, "phoenix"])
    parser.add_argument("--phoenix", metavar="PYTHON")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    benches = dict(BENCHES)
    if arguments.phoenix:
        benches["phoenix"] = lambda folder, spans: bench_phoenix(folder, arguments.phoenix)
    for name, bench in benches.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="bench-collect-") as folder:
                results[name] = {key: round(value, 2) for key, value in bench(Path(folder), arguments.spans).items()}
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
