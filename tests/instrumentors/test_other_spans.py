"""Other instrumentations on the same call: HTTP spans beneath ours, and model-call spans of others above."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from tests.recording import Recorder

ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}
GENAI: Any = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


@pytest.fixture
def client(provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=2) as client:
        yield client


def test_http_spans_nest_beneath_ours(client, recorder):
    """The span of opentelemetry-instrumentation-httpx is the attempt: a child of ours."""
    HTTPX2ClientInstrumentor().instrument(tracer_provider=recorder.provider)
    try:
        client.chat.completions.create(**ASK)
    finally:
        HTTPX2ClientInstrumentor().uninstrument()
    http, ours = recorder.spans
    assert http.name == "POST"
    assert ours.name == "chat gpt-4o"
    assert http.parent.span_id == ours.context.span_id
    assert len(recorder.records) == 1


def test_a_model_call_span_of_another_gets_what_the_wire_says(client, recorder):
    """No second span: the current one of another instrumentation is enriched, and what it says itself stays."""
    other = recorder.provider.get_tracer("some.genai.instrumentation")
    with other.start_as_current_span(
        "chat gpt-4o", kind=SpanKind.CLIENT, attributes={**GENAI, "gen_ai.response.id": "mine"}
    ):
        client.chat.completions.create(**ASK)
    [span] = recorder.spans
    assert span.attributes["gen_ai.usage.output_tokens"] == 16
    assert span.attributes["gen_ai.response.id"] == "mine"
    assert recorder.only["completion_tokens"] == 16
    assert recorder.only["_span"] is span


def test_an_agent_span_is_no_model_call(client, recorder):
    """A span of an agent stays what it is: the call is a child of our own."""
    other = recorder.provider.get_tracer("some.agents")
    with other.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
        client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    first, second, agent = recorder.spans
    assert first.parent.span_id == second.parent.span_id == agent.context.span_id
    assert len(recorder.records) == 2


def test_a_stream_that_outlasts_the_span_has_its_own(client, recorder):
    """Where the other's span ended before the stream did, the record is on a child of ours that began with the call."""
    other = recorder.provider.get_tracer("some.genai.instrumentation")
    with other.start_as_current_span("chat gpt-4o", attributes=GENAI):
        stream = client.chat.completions.create(**ASK, stream=True)
    list(stream)
    theirs, ours = recorder.spans
    assert ours.parent.span_id == theirs.context.span_id
    assert ours.start_time < theirs.end_time < ours.end_time
    assert recorder.only["_span"] is ours


def test_failed_attempts_beneath_anothers_span_are_records_of_their_own(client, recorder):
    """The answer is on the other's span; each failed attempt before it is a child span of ours."""
    other = recorder.provider.get_tracer("some.genai.instrumentation")
    headers = {"x-demo-error": "500", "x-demo-fail-times": "2", "x-demo-key": "beneath"}
    with other.start_as_current_span("chat gpt-4o", attributes=GENAI):
        client.chat.completions.create(**ASK, extra_headers=headers)
    first, second, theirs = recorder.spans
    assert first.parent.span_id == second.parent.span_id == theirs.context.span_id
    assert [r["is_failed"] for r in recorder.records] == [True, True, False]
    assert recorder.records[-1]["_span"] is theirs
    assert "error.type" not in recorder.spans[-1].attributes


def test_two_answers_beneath_one_span_are_two_records(client, recorder):
    """A second answer under a span that has its own is a child of ours."""
    other = recorder.provider.get_tracer("some.genai.instrumentation")
    with other.start_as_current_span("chat gpt-4o", attributes=GENAI):
        client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    assert len(recorder.records) == len(recorder.spans) == 2


@pytest.fixture
def sampled_out(provider) -> Iterator[Recorder]:
    from spectra_otel import instrumentors

    recorder = Recorder(ALWAYS_OFF)
    recorder.install()
    yield recorder
    instrumentors.uninstall()


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_sampled_out_is_recorded(client, sampled_out, provider, stream):
    """With always_off nothing is exported, and the record is whole, with ids and times of its own."""
    answer = client.chat.completions.create(**ASK, stream=stream)
    if stream:
        list(answer)
    assert sampled_out.spans == []
    [span] = sampled_out.unsampled
    assert sampled_out.only["completion_tokens"] == provider.ledger[0].usage["completion_tokens"]
    assert not span.context.trace_flags.sampled
    assert span.end_time > span.start_time
    assert span.attributes["gen_ai.request.model"] == "gpt-4o"


def test_with_a_ratio_every_call_is_recorded_once(client, provider):
    """Whatever a ratio sampler keeps, each call is one record."""
    from spectra_otel import instrumentors

    recorder = Recorder(ParentBased(TraceIdRatioBased(0.5)))
    recorder.install()
    for _ in range(40):
        client.chat.completions.create(**ASK)
    instrumentors.uninstall()
    assert len(recorder.spans) + len(recorder.unsampled) == len(recorder.records) == 40
    assert 5 < len(recorder.unsampled) < 35
    assert len({r["response_id"] for r in recorder.records}) == 40


def test_uninstalling_leaves_the_clients_as_they_were(client, recorder, provider):
    """After uninstall a call leaves nothing, and send is the original again."""
    import httpx2

    from spectra_otel import instrumentors

    instrumentors.uninstall()
    assert not hasattr(httpx2.Client.send, "__wrapped__")
    client.chat.completions.create(**ASK)
    assert recorder.spans == []


def test_untracked_calls_leave_nothing(client, recorder):
    """Inside untracked() a call is neither span nor record."""
    from spectra_otel.tracking.context import untracked

    with untracked():
        client.chat.completions.create(**ASK)
    assert recorder.spans == recorder.records == []


def test_context_and_baggage_name_who_it_is_for(client, recorder):
    """user, tags and nested metadata of the context are in the record; baggage fills what they leave open."""
    from opentelemetry import baggage
    from opentelemetry import context as context_api

    from spectra_otel.tracking.context import context

    token = context_api.attach(baggage.set_baggage("session.id", "s9"))
    with context(user="u1", tags=["a"], metadata={"x": {"y": 1}}), context(tags=["b"], metadata={"x": {"z": 2}}):
        client.chat.completions.create(**ASK)
    context_api.detach(token)
    record = recorder.only
    assert (record["user_id"], record["tags"], record["conversation_id"]) == ("u1", ["a", "b"], "s9")
    assert record["metadata"] == {"x": {"y": 1, "z": 2}}
    assert json.dumps(record["metadata"])
