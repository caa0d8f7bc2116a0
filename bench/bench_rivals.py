"""What instrumentations of the openai SDK add to one call and to one chunk: ours and three others, in one run.

    make rivals && .venvs/rivals/bin/python bench/bench_rivals.py [--rounds 40]

Each runs in a process of its own, with the same SDK, against the same local server; they take turns, a block of calls each, so
that all of them see the same machine. Printed is the median over the rounds of the difference to the bare SDK in the same round,
as time of the calling thread on a processor, and as a multiple of ours. All have the same exporter, which does nothing, and their
defaults. Ours also prices the call and writes its record to disk, which none of the others does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median, quantiles
from typing import Any

CHUNKS = 200
NAMES = ("bare", "spectra-otel", "genai-openai", "openllmetry", "openinference")
USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
HEAD = {"id": "c1", "created": 1, "model": "gpt-4o-2024-08-06"}
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}
ANSWER = json.dumps({**HEAD, "object": "chat.completion", "choices": [MESSAGE], "usage": USAGE}).encode()
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 50}]}


def events() -> bytes:
    """A streamed answer."""
    head = {**HEAD, "object": "chat.completion.chunk"}
    deltas = [{"choices": [{"index": 0, "delta": {"content": "tok "}, "finish_reason": None}]}] * CHUNKS
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    rows = [{**head, **row} for row in (*deltas, stop, {"choices": [], "usage": USAGE})]
    return b"".join(b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows) + b"data: [DONE]\n\n"


class Server(BaseHTTPRequestHandler):
    """The same answers to everybody, each with an id of its own."""

    protocol_version = "HTTP/1.1"
    stream = events()
    served = 0

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        Server.served += 1
        streams = b'"stream":true' in asked
        body = (self.stream if streams else ANSWER).replace(b'"c1"', b'"chatcmpl-%d"' % Server.served)
        kind = "text/event-stream" if streams else "application/json"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(pipe: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        pipe.send(server.server_port)
        server.serve_forever()


def instrument(name: str) -> None:
    """Set up the SDK of OpenTelemetry and one of the instrumentations."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    if name == "spectra-otel":
        import spectra_otel as spectra

        spectra.configure()
    elif name == "genai-openai":
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
    elif name == "openllmetry":
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor as Openllmetry

        Openllmetry().instrument(tracer_provider=provider)
    elif name == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor as Openinference

        Openinference().instrument(tracer_provider=provider)


def work(name: str, port: int) -> None:
    """Run blocks on demand: a line ``call 20`` or ``stream 2`` is answered by µs of this thread per call, or per chunk."""
    import openai

    instrument(name)
    client = openai.OpenAI(api_key="x", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    def stream() -> None:
        for _ in client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}):
            pass

    todo: dict[str, tuple[Callable[[], object], int]] = {
        "call": (lambda: client.chat.completions.create(**ASK), 1),
        "stream": (stream, CHUNKS),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        what, count = line.split()
        call, per = todo[what]
        begun = time.thread_time_ns()
        for _ in range(int(count)):
            call()
        print((time.thread_time_ns() - begun) / int(count) / per / 1000, flush=True)


def measure(port: int, rounds: int) -> None:
    workers = {name: _start(name, port) for name in NAMES}
    workers = {name: worker for name, worker in workers.items() if worker is not None}
    for what, count in (("call", 20), ("stream", 2)):
        times: dict[str, list[float]] = {name: [] for name in workers}
        for number in range(rounds + 3):
            for name, worker in workers.items():
                taken = _ask(worker, f"{what} {count}")
                if number >= 3:
                    times[name].append(taken)
        _report(what, times)
    for worker in workers.values():
        worker.kill()
    print(json.dumps({"load": os.getloadavg()[0]}))


def _start(name: str, port: int) -> subprocess.Popen[str] | None:
    command = [sys.executable, __file__, "--worker", name, "--port", str(port)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    if worker.stdout.readline().strip() == "ready":
        return worker
    print(f"{name}: not installed, left out (make rivals)", file=sys.stderr)
    return None


def _ask(worker: subprocess.Popen[str], what: str) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(what, file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def _report(what: str, times: dict[str, list[float]]) -> None:
    bare = times.pop("bare")
    added = {name: [with_ - without for with_, without in zip(row, bare, strict=True)] for name, row in times.items()}
    ours = median(added["spectra-otel"])
    unit = "call" if what == "call" else "chunk"
    print(json.dumps({"per": unit, "name": "bare", "us": round(median(bare), 1)}))
    for name, row in added.items():
        low, _, high = quantiles(row, n=4)
        line = {"added_us": round(median(row), 1), "quartiles": [round(low, 1), round(high, 1)]}
        print(json.dumps({"per": unit, "name": name, **line, "times_ours": round(median(row) / ours, 1)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--worker", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.port)
        return
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(SPECTRA_HOME=home, SPECTRA_PROVIDER_HOSTS=f"127.0.0.1:{port}=openai")
        measure(port, args.rounds)
    server.terminate()


if __name__ == "__main__":
    main()
