"""How much `spectra collect` takes: OTLP in → durable → queryable, pass-through of what is not GenAI, and how soon it answers.

    python bench/bench_collect.py [--spans 400000] [--only store|pass|latency]

Batches of 512 spans, 22 attributes and about 800 B a span, over HTTP on four connections. The store is counted at the
destination, with SQL; the pass-through at a receiver that counts, and the first request there is compared with what was sent.
Prints one JSON object: spans a second, processor time a span, the most memory of the collector's process, milliseconds until an
answer at half of 20,000 spans a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spectra_otel.otlp.protobuf import write_value

BATCH = 512
CONNECTIONS = 4
_MARK = b"\xa5\x5aMARK\x5a\xa5"
GENAI = {
    "gen_ai.provider.name": "openai", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 180,
    "gen_ai.usage.cache_read.input_tokens": 200, "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 512,
    "gen_ai.conversation.id": "conv-17", "gen_ai.output.type": "text", "server.address": "api.openai.com", "server.port": 443,
    "user.id": "u-42", "http.request.method": "POST", "http.response.status_code": 200, "url.path": "/v1/chat/completions",
    "network.protocol.version": "1.1", "thread.name": "worker-3", "code.function.name": "answer",
    "spectra.metadata.tenant": "t7",
}  # fmt: skip
OTHER = {f"app.field{number}": number if number % 3 else f"value {number} of it" for number in range(22)}


def template(attributes: dict[str, Any]) -> bytes:
    """A request of 512 spans whose trace ids hold a mark, to be replaced for each batch."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    write_value(group.resource.attributes.add(key="service.name").value, "shop")
    scoped = group.scope_spans.add()
    scoped.scope.name = "bench"
    now = time.time_ns()
    for number in range(BATCH):
        span = scoped.spans.add(
            trace_id=_MARK + number.to_bytes(8, "big"), span_id=(number + 1).to_bytes(8, "big"), name="chat gpt-4o", kind=3,
            start_time_unix_nano=now - 10**9, end_time_unix_nano=now,
        )  # fmt: skip
        values = {**attributes, "gen_ai.response.id": f"chatcmpl-{number}"} if attributes is GENAI else attributes
        for key, value in values.items():
            write_value(span.attributes.add(key=key).value, value)
    return message.SerializeToString()


def body(form: bytes, number: int) -> bytes:
    """The request of one batch, with trace ids of its own."""
    return form.replace(_MARK, (0x5EC7 << 48 | number).to_bytes(8, "big"))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def collector(folder: Path, pipeline: dict[str, Any]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A collector in a process of its own; gives its port."""
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
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def send(port: int, bodies: Iterator[bytes]) -> None:
    """Post bodies over a few connections until there are no more; one that is refused is sent again."""
    lock = threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            with lock:
                data = next(bodies, None)
            if data is None:
                return
            while True:
                connection.request("POST", "/v1/traces", data, {"Content-Type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                time.sleep(0.2)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for future in [pool.submit(work) for _ in range(CONNECTIONS)]:
            future.result()


def peak_mib(process: subprocess.Popen[bytes]) -> float:
    """The most memory a process had."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time of a process: what it costs whatever else the machine does."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored(database: Path, spool: Path) -> int:
    """Rows that SQL finds; the database alone, without merging from here."""
    import duckdb

    while True:
        try:
            with duckdb.connect(str(database), read_only=True) as connection:
                found = connection.execute("SELECT count(*) FROM spectra_requests").fetchone()
            return int(found[0]) if found else 0
        except duckdb.Error:
            time.sleep(0.05)


def bench_store(folder: Path, spans: int) -> dict[str, float]:
    """OTLP in → durable → queryable."""
    form, batches = template(GENAI), spans // BATCH
    database = folder / "bench.duckdb"
    with collector(folder, {"duckdb": {"path": str(database)}}) as (port, process):
        send(port, iter([body(form, 10**9)]))  # warm: caches filled, catalog read
        began, used = time.monotonic(), cpu_seconds(process)
        send(port, (body(form, number) for number in range(batches)))
        acknowledged = time.monotonic() - began
        spool = folder / "spool" / database.name
        while any(spool.glob("*.ndjson")):
            time.sleep(0.05)
        queryable = time.monotonic() - began
        used = cpu_seconds(process) - used
        rows, peak = stored(database, spool), peak_mib(process)
    total = (batches + 1) * BATCH
    assert rows == total, f"{total} spans were acknowledged and {rows} rows are there"
    return {
        "bytes_per_span": len(form) / BATCH, "spans": total, "acknowledged_per_second": total / acknowledged,
        "queryable_per_second": total / queryable, "cpu_us_per_span": used / batches / BATCH * 1e6, "peak_mib": peak,
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
    form, batches = template(OTHER), spans // BATCH
    with sink() as (url, got):
        exporter = {"endpoint": url, "compression": "none", "retry_on_failure": {"initial_interval": "1s"}}
        with collector(folder, {"otlp_http": exporter}) as (port, process):
            began, used = time.monotonic(), cpu_seconds(process)
            send(port, (body(form, number) for number in range(batches)))
            while got[1] < batches:
                time.sleep(0.02)
            took, used, peak = time.monotonic() - began, cpu_seconds(process) - used, peak_mib(process)
        equal = got[0] in {body(form, number) for number in range(CONNECTIONS * 4)}
    assert equal, "the request that arrived is not the one that was sent"
    return {
        "spans": batches * BATCH,
        "per_second": batches * BATCH / took,
        "cpu_us_per_span": used / batches / BATCH * 1e6,
        "peak_mib": peak,
    }


def bench_latency(folder: Path, spans: int) -> dict[str, float]:
    """Milliseconds until a batch is acknowledged, at 10,000 spans a second."""
    form = template(GENAI)
    pause, took = BATCH / 10_000, []
    with collector(folder, {"duckdb": {"path": str(folder / "latency.duckdb")}}) as (port, _):
        send(port, iter([body(form, 10**9)]))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        begin = time.monotonic()
        for number in range(min(400, spans // BATCH)):
            time.sleep(max(0.0, begin + number * pause - time.monotonic()))
            data = body(form, number)
            began = time.monotonic()
            connection.request("POST", "/v1/traces", data, {"Content-Type": "application/x-protobuf"})
            connection.getresponse().read()
            took.append((time.monotonic() - began) * 1000)
    took.sort()
    return {"batches": len(took), "p50_ms": took[len(took) // 2], "p99_ms": took[len(took) * 99 // 100]}


BENCHES: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "store": bench_store, "pass": bench_pass, "latency": bench_latency,
}  # fmt: skip


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--only", choices=BENCHES)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name, bench in BENCHES.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="bench-collect-") as folder:
                results[name] = {key: round(value, 2) for key, value in bench(Path(folder), arguments.spans).items()}
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
