"""What Spectra adds to one call of the openai SDK, and to one chunk of a stream.

    python bench/bench_call.py [--calls 1500] [--streams 40] [--chunks 500]

Bare and observed calls alternate in one process against a MockTransport, so that both see the same machine; what is printed is
the difference of the medians, as wall time and as time of the calling thread on a processor, which a busy machine disturbs
less. Observed means all of it: instrument, span, normalise, price, queue, with the store's worker writing behind.
Goals: 0.15 ms per call, 5 µs per chunk, 5 µs for a request to a host that is nobody's.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import httpx2
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06", "service_tier": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500, "prompt_tokens_details": {"cached_tokens": 1000}
    },
}  # fmt: skip
ASK: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello " * 50}],
}


class Nowhere(SpanExporter):
    """The app's own exporter, which costs nothing."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Chunks(httpx2.SyncByteStream):
    """A streamed answer, one network read for each event."""

    def __init__(self, events: list[bytes]) -> None:
        self.events = events

    def __iter__(self) -> Any:
        return iter(self.events)


def events(count: int) -> list[bytes]:
    head = {key: ANSWER[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    delta = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "tok "}, "finish_reason": None}]}
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    rows = [head | delta] * count + [head | stop, head | {"choices": [], "usage": ANSWER["usage"]}]
    return [b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows] + [b"data: [DONE]\n\n"]


Times = list[tuple[int, int]]
"""Nanoseconds of each call: by the clock, and on a processor."""


def alternate(call: Callable[[], object], count: int, switch: Callable[[bool], None]) -> tuple[Times, Times]:
    """``count`` bare and ``count`` observed calls, taken in turns."""
    times: tuple[Times, Times] = ([], [])
    for number in range(2 * count + 40):
        observed = number % 2
        switch(bool(observed))
        clock, thread = time.perf_counter_ns(), time.thread_time_ns()
        call()
        taken = time.perf_counter_ns() - clock, time.thread_time_ns() - thread
        if number >= 40:
            times[observed].append(taken)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--streams", type=int, default=40)
    parser.add_argument("--chunks", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SPECTRA_HOME"] = home
        run(args.calls, args.streams, args.chunks)


def run(calls: int, streams: int, chunks: int) -> None:
    import spectra_otel as spectra

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    spectra.configure()
    observed_send = httpx2.Client.__dict__["send"]
    bare_send = observed_send.__wrapped__

    def switch(observed: bool) -> None:
        httpx2.Client.send = observed_send if observed else bare_send  # type: ignore[method-assign]

    body, stream = json.dumps(ANSWER).encode(), events(chunks)
    numbers = itertools.count()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(stream))
        unique = body.replace(b'"c1"', b'"chatcmpl-%d"' % next(numbers))
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=unique)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="x", http_client=http)
    elsewhere = http.build_request("GET", "https://example.com/")

    def one_call() -> None:
        client.chat.completions.create(**ASK)

    def one_stream(**options: Any) -> None:
        for _ in client.chat.completions.create(**ASK, stream=True, **options):
            pass

    def asked_stream() -> None:
        one_stream(stream_options={"include_usage": True})

    gc.collect()
    report("one call", *alternate(one_call, calls, switch))
    report("one chunk, app asked for usage", *alternate(asked_stream, streams, switch), per=chunks)
    report("one chunk, usage asked for by us and hidden", *alternate(one_stream, streams, switch), per=chunks)
    report("a request to nobody's host", *alternate(lambda: http.send(elsewhere), 2 * calls, switch))
    switch(True)
    spectra.shutdown()


def report(name: str, bare: Times, observed: Times, *, per: int = 1) -> None:
    """One line of JSON, in microseconds."""

    def middle(times: Times, which: int) -> float:
        return median(taken[which] for taken in times) / per / 1000

    line = {
        "what": name,
        "bare_p50_us": round(middle(bare, 0), 2),
        "observed_p50_us": round(middle(observed, 0), 2),
        "added_us": round(middle(observed, 0) - middle(bare, 0), 2),
        "added_thread_us": round(middle(observed, 1) - middle(bare, 1), 2),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
