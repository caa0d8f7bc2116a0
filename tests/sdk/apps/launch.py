"""An app as users write them, for the launch matrix: four calls, each in a trace of its own, seen by two exporters of its own.

Argument 1 says where its tracer provider comes from: ``given`` by the launcher, its ``own``, or ``configure`` (none at all),
``configure-before`` and ``configure-after`` its own. Argument 2 is the address of the provider of the AI.
Prints a JSON list for each exporter: how many spans with a cost each trace has.
"""

from __future__ import annotations

import json
import sys

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

COST = "gen_ai.usage.cost.amount"
FOREIGN = "opentelemetry.instrumentation.genai.openai"


def call(tracer: Tracer, client: openai.OpenAI) -> None:
    """A call that our HTTP instrumentor sees."""
    with tracer.start_as_current_span("app"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])


def foreign_call(tracer: Tracer, number: int) -> None:
    """A call that only another instrumentor sees, beneath a span that repeats its usage."""
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
    with (
        tracer.start_as_current_span("invoke_agent a", attributes={"gen_ai.operation.name": "invoke_agent", **usage}),
        tracer.start_as_current_span(
            "chat gpt-4o",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.id": f"chatcmpl-{number}",
                **usage,
            },
        ),
    ):
        pass


def costs_by_trace(spans: tuple[ReadableSpan, ...]) -> list[int]:
    traces: dict[int, int] = {}
    for span in spans:
        assert span.context is not None
        traces[span.context.trace_id] = traces.get(span.context.trace_id, 0) + (COST in (span.attributes or {}))
    return sorted(traces.values())


def main(mode: str, address: str) -> None:
    simple, batch = InMemorySpanExporter(), InMemorySpanExporter()
    if mode in ("configure", "configure-before"):
        import spectra_otel as spectra

        spectra.configure()
        spectra.configure()
    if mode in ("own", "configure-before", "configure-after"):
        provider = TracerProvider()
        before = [provider.get_tracer("app"), provider.get_tracer(FOREIGN)]
        provider.add_span_processor(SimpleSpanProcessor(simple))
        trace.set_tracer_provider(provider)
        after = [provider.get_tracer("late"), provider.get_tracer(FOREIGN, "9")]
    else:
        before = [trace.get_tracer("app"), trace.get_tracer(FOREIGN)]
        given = trace.get_tracer_provider()
        assert isinstance(given, TracerProvider), given
        provider = given
        provider.add_span_processor(SimpleSpanProcessor(simple))
        after = [trace.get_tracer("late"), trace.get_tracer(FOREIGN, "9")]
    if mode == "configure-after":
        import spectra_otel as spectra

        spectra.configure()
    provider.add_span_processor(BatchSpanProcessor(batch))

    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
    for number, (ours, foreign) in enumerate((before, after)):
        call(ours, client)
        foreign_call(foreign, number)
    provider.force_flush()
    print(json.dumps([costs_by_trace(simple.get_finished_spans()), costs_by_trace(batch.get_finished_spans())]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
