"""What an app pays for Spectra at start: import and attach, over the SDK alone. Goal: ≤ 50 ms, and none of the heavy modules.

Interleaved fresh processes, medians. ``python bench/bench_start.py [rounds]``
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
trace.set_tracer_provider(TracerProvider())
"""
OURS = """
import spectra_otel as spectra
spectra.configure()
"""
BUILD = """
from spectra_otel.sdk.runtime import current_host
start = time.perf_counter()
current_host().build()
"""
REPORT = """
import json, sys, time
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""
HEAVY = ("duckdb", "grpc", "numpy", "pyarrow", "yaml", "rich", "click", "httpx", "requests", "pydantic")


def start(code: str, environ: dict[str, str]) -> tuple[float, list[str]]:
    """Seconds of ``code`` in a fresh interpreter, and the modules that are loaded afterwards."""
    program = f"import time\nstart = time.perf_counter()\n{code}\n{REPORT}"
    run = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(run.stdout)
    return seconds, modules


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "SPECTRA_HOME": home}
        start(SDK + OURS, environ)  # compiles what is not compiled
        sdk, ours, build = [], [], []
        modules: list[str] = []
        for _ in range(rounds):
            sdk.append(start(SDK, environ)[0])
            seconds, modules = start(SDK + OURS, environ)
            ours.append(seconds)
            build.append(start(SDK + OURS + BUILD, environ)[0])
    base, whole = statistics.median(sdk) * 1e3, statistics.median(ours) * 1e3
    print(f"SDK alone                 {base:6.1f} ms")
    print(f"SDK + import + configure  {whole:6.1f} ms")
    print(f"over the SDK              {whole - base:6.1f} ms   (goal 50)")
    print(
        f"pipelines, off the path   {statistics.median(build) * 1e3:6.1f} ms   (on a thread, when the first span starts)"
    )
    print("heavy modules loaded      ", [name for name in HEAVY if name in modules] or "none")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
