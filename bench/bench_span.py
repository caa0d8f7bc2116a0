"""Normalise and price one finished span in the pipeline: goal 12 µs or less.

    python bench/bench_span.py [--spans N]

Three kinds of span, made by the SDK itself: a call of opentelemetry-instrumentation-genai-openai, one of OpenInference (request
and response as JSON text), and an HTTP span that is none of ours. The best of several rounds counts: the machine is shared.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from spectra_otel.processors.cost.processor import CostProcessor
from spectra_otel.processors.usage.processor import UsageProcessor

ROUNDS = 40
RESOURCE = Resource({"service.name": "bench", "deployment.environment.name": "test", "process.pid": 7})


def semconv(i: int) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "server.address": "api.openai.com", "server.port": 443, "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": f"chatcmpl-{random.getrandbits(96):024x}",
        "gen_ai.usage.input_tokens": 1000 + i, "gen_ai.usage.output_tokens": 77, "gen_ai.usage.cache_read.input_tokens": 512,
        "openai.response.service_tier": "default", "openai.response.system_fingerprint": "fp_x", "user.id": "u1",
    }  # fmt: skip


def openinference(i: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000 + i, "completion_tokens": 77, "total_tokens": 1077 + i}
    message = {"content": "The weather in Paris is 18 degrees and sunny.", "role": "assistant"}
    response_id = f"chatcmpl-{random.getrandbits(96):024x}"
    answer = {"id": response_id, "model": "gpt-4o-mini-2024-07-18", "object": "chat.completion", "usage": usage,
              "choices": [{"finish_reason": "stop", "index": 0, "message": message}]}  # fmt: skip
    return {
        "openinference.span.kind": "LLM", "llm.system": "openai", "llm.provider": "openai",
        "llm.model_name": "gpt-4o-mini-2024-07-18", "llm.invocation_parameters": '{"model": "gpt-4o-mini"}',
        "input.value": json.dumps({"messages": [message], "model": "gpt-4o-mini"}), "input.mime_type": "application/json",
        "output.value": json.dumps(answer), "output.mime_type": "application/json", "llm.token_count.prompt": 1000 + i,
        "llm.token_count.completion": 77, "llm.token_count.prompt_details.cache_read": 512, "llm.finish_reason": "stop",
    }  # fmt: skip


def http(i: int) -> dict[str, Any]:
    return {"http.request.method": "GET", "url.full": f"https://example.org/{i}", "http.response.status_code": 200,
            "server.address": "example.org", "server.port": 443, "network.protocol.version": "1.1"}  # fmt: skip


class Keep(SpanProcessor):
    """Keeps finished spans as the SDK hands them to processors."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def spans(scope: str, attributes: Callable[[int], dict[str, Any]], count: int) -> list[ReadableSpan]:
    keep, provider = Keep(), TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(keep)
    tracer = provider.get_tracer(scope, "1.3b0")
    for i in range(count):
        start = 1_790_000_000_000_000_000 + i * 1_000_000
        span = tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes(i), start_time=start)
        span.end(start + 800_000_000)
    return keep.spans


def microseconds(batch: Sequence[ReadableSpan], *processors: Any) -> float:
    start = time.perf_counter()
    for processor in processors:
        batch = processor.process(batch)
    return (time.perf_counter() - start) / len(batch) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=512, help="spans in a batch")
    count = parser.parse_args().spans
    cost = CostProcessor()
    for name, scope, attributes in (
        ("semantic conventions", "opentelemetry.instrumentation.genai.openai", semconv),
        ("OpenInference", "openinference.instrumentation.openai", openinference),
        ("HTTP, none of ours", "opentelemetry.instrumentation.httpx", http),
    ):
        usage_only, both = [], []
        usage = UsageProcessor()  # one for all rounds: what it remembers of earlier calls is part of the work
        for _ in range(ROUNDS):
            usage_only.append(microseconds(spans(scope, attributes, count), usage))
            both.append(microseconds(spans(scope, attributes, count), usage, cost))
        print(f"{name:22} usage {min(usage_only):5.1f} µs   usage + cost {min(both):5.1f} µs a span")


if __name__ == "__main__":
    main()
