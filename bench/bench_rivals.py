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
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

from server import ASK, CHUNKS, provider

NAMES = ("bare", "spectra-otel", "genai-openai", "openllmetry", "openinference")


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


def work(name: str, host: str) -> None:
    """Run blocks on demand: a line ``call 20`` or ``stream 2`` is answered by µs of this thread per call, or per chunk."""
    import openai

    instrument(name)
    client = openai.OpenAI(api_key="x", base_url=f"http://{host}/v1", max_retries=0)

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


def measure(host: str, rounds: int) -> None:
    workers = {name: _start(name, host) for name in NAMES}
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


def _start(name: str, host: str) -> subprocess.Popen[str] | None:
    command = [sys.executable, __file__, "--worker", name, "--host", host]
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
    parser.add_argument("--host", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.host)
        return
    with provider() as host, tempfile.TemporaryDirectory() as home:
        os.environ.update(SPECTRA_HOME=home, SPECTRA_PROVIDER_HOSTS=f"{host}=openai")
        measure(host, args.rounds)


if __name__ == "__main__":
    main()
