"""What Spectra adds to one call of the openai SDK, and to one chunk of a stream.

    python bench/bench_call.py [--calls 1500] [--streams 40] [--chunks 500]

Bare and observed calls alternate in one process against a MockTransport, so that both see the same machine; what is printed is
the difference of the medians, and of the fastest tenths, which other work on the machine disturbs less. Observed means all of it: instrument, span, normalise, price, queue, with the store's worker
writing behind. Goals: 0.15 ms per call, 5 µs per chunk, 5 µs for a request to a host that is nobody's.
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


def alternate(call: Callable[[], None], count: int, switch: Callable[[bool], None]) -> tuple[list[int], list[int]]:
    """Nanoseconds of ``count`` bare and ``count`` observed calls, taken in turns."""
    times: tuple[list[int], list[int]] = ([], [])
    for number in range(2 * count + 40):
        observed = number % 2
        switch(bool(observed))
        begin = time.perf_counter_ns()
        call()
        taken = time.perf_counter_ns() - begin
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
    report("one call", *alternate(one_call, calls, switch), per=1, unit="µs")
    report("one chunk, app asked for usage", *alternate(asked_stream, streams, switch), per=chunks, unit="µs")
    report(
        "one chunk, usage asked for by us and hidden", *alternate(one_stream, streams, switch), per=chunks, unit="µs"
    )
    report("a request to nobody's host", *alternate(lambda: http.send(elsewhere), 2 * calls, switch), per=1, unit="µs")
    switch(True)
    spectra.shutdown()


def report(name: str, bare: list[int], observed: list[int], *, per: int, unit: str) -> None:
    """One line of JSON: the medians, and what is added."""
    low, high = median(bare) / per / 1000, median(observed) / per / 1000
    line = {
        "what": name,
        "unit": unit,
        "bare_p50": round(low, 2),
        "observed_p50": round(high, 2),
        "added": round(high - low, 2),
    }
    print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
