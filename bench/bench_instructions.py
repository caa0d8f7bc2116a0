"""What Spectra adds to one call of the openai SDK, in instructions of the calling thread: a number that no busy machine changes.

    python bench/bench_instructions.py [--calls 100]      (needs valgrind; some six minutes)

Four runs under callgrind: bare and observed, with few and with more calls. What more calls take, divided by their number, is one
call; what starts and ends with a process falls out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEW = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--run", nargs=2, metavar=("OBSERVED", "CALLS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        make_calls(observed=args.run[0] == "observed", calls=int(args.run[1]))
    bare, observed = (one_call(what, args.calls) for what in ("bare", "observed"))
    print(json.dumps({"what": "one call, instructions", "bare": bare, "added": observed - bare}))


def one_call(what: str, calls: int) -> int:
    """Instructions of the calling thread for one call."""
    few, more = (counted(what, number) for number in (FEW, FEW + calls))
    return (more - few) // calls


def counted(what: str, calls: int) -> int:
    """Instructions of the calling thread in a process that makes so many."""
    with tempfile.TemporaryDirectory() as home:
        out = Path(home) / "callgrind"
        command = ("valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}")
        environ = {**os.environ, "SPECTRA_HOME": home, "PYTHONHASHSEED": "0"}
        script = (sys.executable, __file__, "--run", what, str(calls))
        subprocess.run([*command, *script], env=environ, check=True, capture_output=True)
        lines = out.with_name("callgrind-01").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("totals:")).split()[1])


def make_calls(observed: bool, calls: int) -> None:
    """A process that makes calls, and ends at once: what it has not stored yet counts for nobody."""
    import httpx2
    import openai
    from bench_call import ANSWER, ASK, Nowhere
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    import spectra_otel as spectra

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    if observed:
        spectra.configure()
    body, numbers = json.dumps(ANSWER).encode(), itertools.count()

    def answer(request: httpx2.Request) -> httpx2.Response:
        unique = body.replace(b'"c1"', b'"chatcmpl-%d"' % next(numbers))
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=unique)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="x", http_client=http)
    for _ in range(calls):
        client.chat.completions.create(**ASK)
    os._exit(0)


if __name__ == "__main__":
    main()
