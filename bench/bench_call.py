"""What Spectra adds to one call of the openai SDK, and to one chunk of a stream.

    python bench/bench_call.py [--pairs 300] [--streams 60] [--chunks 500]

Bare and observed calls alternate in one process against a MockTransport, which costs next to nothing (see ``paired.py`` for how
they are compared). Observed means all of it: instrument, span, normalise, price, queue, with the store's worker writing behind. A
chunk's share of what its stream costs as a call is in its number.
Goals: 150 µs per call, 5 µs per chunk, 5 µs for a request to a host that is nobody's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from paired import added

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


class Chunks(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A streamed answer, one network read for each event."""

    def __init__(self, events: list[bytes]) -> None:
        self.events = events

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.events)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield event


def events(count: int) -> list[bytes]:
    head = {key: ANSWER[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    delta = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "tok "}, "finish_reason": None}]}
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    rows = [head | delta] * count + [head | stop, head | {"choices": [], "usage": ANSWER["usage"]}]
    return [b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows] + [b"data: [DONE]\n\n"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--chunks", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SPECTRA_HOME"] = home
        run(args.pairs, args.streams, args.chunks)


def run(pairs: int, streams: int, chunks: int) -> None:
    import spectra_otel as spectra

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    spectra.configure()
    clients = (httpx2.Client, httpx2.AsyncClient)
    sends = [(owner, owner.__dict__["send"]) for owner in clients]

    def switch(observed: bool) -> None:
        for owner, send in sends:
            owner.send = send if observed else send.__wrapped__

    body, stream = json.dumps(ANSWER).encode(), events(chunks)
    numbers = itertools.count()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(stream))
        unique = body.replace(b'"c1"', b'"chatcmpl-%d"' % next(numbers))
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=unique)

    transport = httpx2.MockTransport(answer)
    http = httpx2.Client(transport=transport)
    client = openai.OpenAI(api_key="x", http_client=http)
    awaited = openai.AsyncOpenAI(api_key="x", http_client=httpx2.AsyncClient(transport=transport))
    elsewhere = http.build_request("GET", "https://example.com/")
    loop = asyncio.new_event_loop()
    asked: Any = {"stream_options": {"include_usage": True}}

    def call() -> None:
        client.chat.completions.create(**ASK)

    def stream_of(**options: Any) -> None:
        for _ in client.chat.completions.create(**ASK, stream=True, **options):
            pass

    async def stream_awaited() -> None:
        async for _ in await awaited.chat.completions.create(**ASK, stream=True, **asked):
            pass

    def report(what: str, call: Any, pairs: int, **units: int) -> None:
        print(json.dumps({"what": what, **added(call, switch, pairs, **units)}), flush=True)

    report("one call, bare and observed in turns", call, 3 * pairs)
    report("one call, twenty in a row", call, pairs // 5, block=20)
    report("one chunk, app asked for usage", lambda: stream_of(**asked), streams, per=chunks)
    report("one chunk, usage asked for by us and hidden", stream_of, streams, per=chunks)
    report("one chunk, async", lambda: loop.run_until_complete(stream_awaited()), streams, per=chunks)
    report("a request to nobody's host", lambda: http.send(elsewhere), pairs, block=20)
    switch(True)
    spectra.shutdown()
    loop.run_until_complete(asyncio.sleep(0))  # the generators of the last stream are closed
    loop.close()


if __name__ == "__main__":
    main()
