"""The `usage` processor: which span of a response bears its record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.component import ComponentID
from spectra_otel.errors import ConfigError
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import Handoff, TrackedSpan, record_of
from spectra_otel.processors.usage.config import Config
from spectra_otel.processors.usage.factory import factory
from spectra_otel.processors.usage.processor import UsageProcessor
from tests.made_spans import made

GENAI, OPENINFERENCE = "opentelemetry.instrumentation.genai.openai", "openinference.instrumentation.openai"
LITELLM, FRAMEWORK = "litellm", "agent_framework"


def call(
    response_id: str | None = "r1", prompt: int | None = 100, completion: int | None = 20, **more: Any
) -> dict[str, Any]:
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": response_id,
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": completion,
        **more,
    }
    return {key: value for key, value in found.items() if value is not None}


def seen_by_openinference(response_id: str | None = "r1", prompt: int = 100, completion: int = 20) -> dict[str, Any]:
    found: dict[str, Any] = {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.model_name": "gpt-4o-mini",
        "llm.token_count.prompt": prompt,
        "llm.token_count.completion": completion,
    }
    return found | ({"output.value": f'{{"id": "{response_id}"}}'} if response_id else {})


def records(processor: UsageProcessor, *spans: ReadableSpan, together: bool = False) -> list[TrackedRequest]:
    """The records, as a store would have them, of spans that end one after the other or come in one batch."""
    batches: Sequence[Sequence[ReadableSpan]] = [spans] if together else [[span] for span in spans]
    done = [span for batch in batches for span in processor.process(batch)]
    return list({record["id"]: record for record in map(record_of, done) if record is not None}.values())


def test_a_call_becomes_a_record() -> None:
    """Identity, times, resource and usage; the span keeps its place and its type."""
    resource = Resource(
        {"service.name": "shop", "deployment.environment.name": "prod", "process.pid": 7, "host.name": "h"}
    )
    span = made(GENAI, call(), resource=resource, start=10, end=250, id=0xABC, trace=0xDEF)
    (done,) = UsageProcessor().process([span])
    assert isinstance(done, TrackedSpan)
    assert done.bears_cost
    record = done.record
    assert record is not None
    assert record["id"] == f"{'def':0>32}-{'abc':0>16}"
    assert (record["prompt_tokens"], record["completion_tokens"], record["total_tokens"]) == (100, 20, 120)
    assert (record["service_name"], record["environment"], record["process_id"], record["host_id"]) == (
        "shop",
        "prod",
        "7",
        "h",
    )
    assert record["started_at"].isoformat() == "2026-09-21T14:13:20.010000+00:00"
    assert (record["latency_ms"], record["instrumentation"], record["cached_tokens"]) == (240, GENAI, None)
    assert record.span is done
    assert span.attributes == call()


def test_other_spans_are_passed_on_as_they_are() -> None:
    """A span that is none of ours, or a tool's, is the same object, in the same place."""
    spans = [
        made("opentelemetry.instrumentation.httpx", {"http.request.method": "POST"}),
        made(GENAI, {"gen_ai.operation.name": "execute_tool"}),
        made(GENAI, {"gen_ai.operation.name": "invoke_agent"}),
    ]
    done = UsageProcessor().process(spans)
    assert [after is before for after, before in zip(done, spans, strict=True)] == [True, True, True]


def test_an_agent_with_usage_is_a_roll_up() -> None:
    """It carries no record, and says that its usage belongs to the calls below."""
    (done,) = UsageProcessor().process([made(FRAMEWORK, {**call(), "gen_ai.operation.name": "invoke_agent"})])
    assert record_of(done) is None
    assert (done.attributes or {})["spectra.rollup"] is True


def test_of_a_parent_and_its_child_the_child_is_the_call() -> None:
    """Two instrumentors on one call: the inner one ends first and bears the cost, the outer one wraps it."""
    outer = made(FRAMEWORK, call(), id=1, trace=7, start=0, end=100)
    inner = made(GENAI, call(), parent=1, trace=7, start=1, end=99)
    (record,) = records(UsageProcessor(), inner, outer)
    assert record["instrumentation"] == GENAI


def test_a_parent_wraps_calls_far_below() -> None:
    """Between the two there may be spans of anybody else; an agent between them is a border."""
    outer = made(FRAMEWORK, call("r2", 200, 40), id=1, trace=7, end=100)
    between = made("app", {}, id=2, parent=1, trace=7, end=99)
    agent = made(FRAMEWORK, {"gen_ai.operation.name": "invoke_agent"}, id=2, parent=1, trace=7, end=99)
    inner = made(GENAI, call("r1"), parent=2, trace=7, end=98)
    assert len(records(UsageProcessor(), inner, between, outer)) == 1
    assert len(records(UsageProcessor(), inner, agent, outer)) == 2


def test_a_child_that_ends_after_its_parent_is_the_same_call() -> None:
    """The span of a stream may end when the stream is handed over: what the wire says later completes its record."""
    parent = made("opentelemetry.instrumentation.openai.v1", call(None, None, None), id=1, trace=7, end=10)
    child = made("spectra_otel", call("r1"), parent=1, trace=7, end=90)
    processor = UsageProcessor()
    (first,), (second,) = records(processor, parent), records(processor, child)
    assert (first["id"], first.rev, first["prompt_tokens"]) == (second["id"], 0, None)
    assert (second.rev, second["prompt_tokens"], second["response_id"]) == (1, 100, "r1")


def test_what_the_wire_alone_knows_completes_a_record_that_its_parent_began() -> None:
    """Anthropic's client ends its span before the stream is closed: attempt and content come with the closing."""
    handoff = Handoff()
    processor = UsageProcessor(handoff=handoff)
    parent = made("com.anthropic.sdk.python", call(completion=None), id=1, trace=7, end=10)
    child = made("spectra_otel", call(completion=None), id=2, parent=1, trace=7, end=90)
    kept = {
        "attempt": 2,
        "has_tool_calls": False,
        "request_body": {"q": 1},
        "response_body": {"a": 1},
        "is_aborted": True,
    }
    assert child.context is not None
    handoff.leave(child.context, {"provider": "openai", "response_id": "r1", **kept})
    (first,), (second,) = records(processor, parent), records(processor, child)
    assert (first["id"], second.rev) == (second["id"], 1)
    assert {name: second[name] for name in kept} == kept


def test_two_traces_of_one_response_are_one_record() -> None:
    """Same id, two scopes, overlapping, equal usage: the second span to end is the first one's roll-up."""
    spans = made(GENAI, call(), start=5, end=90), made(OPENINFERENCE, seen_by_openinference(), start=0, end=100)
    assert len(records(UsageProcessor(), *spans)) == 1


@pytest.mark.parametrize(
    "other",
    [
        made(GENAI, call(), start=0, end=100),
        made(OPENINFERENCE, seen_by_openinference(), start=200, end=300),
        made(OPENINFERENCE, seen_by_openinference(prompt=101), start=0, end=100),
        made(OPENINFERENCE, seen_by_openinference("r2"), start=0, end=100),
    ],
    ids=["same scope", "later", "other usage", "other id"],
)
def test_an_equal_id_alone_does_not_make_one_response(other: ReadableSpan) -> None:
    """One scope, another time, other usage or another id: two responses."""
    assert len(records(UsageProcessor(), made(GENAI, call(), start=5, end=90), other)) == 2


def test_a_thousand_calls_with_one_id_are_a_thousand_records() -> None:
    """A mock server answers every call with `chatcmpl-123`: in one trace or in many, at once or in turn."""
    constant = call("chatcmpl-123")
    in_turn = [made(GENAI, constant, start=i, end=i + 1) for i in range(1000)]
    assert len(records(UsageProcessor(), *in_turn)) == 1000
    at_once = [made(GENAI, constant, trace=7, parent=1, end=100 + i / 100) for i in range(1000)]
    assert len(records(UsageProcessor(), *at_once, together=True)) == 1000


def test_a_thousand_doubled_calls_with_one_id_are_a_thousand_records() -> None:
    """The same with two instrumentors on each call, and twenty calls in flight at any time."""
    spans = []
    for i in range(1000):
        outer = made(OPENINFERENCE, seen_by_openinference("chatcmpl-123"), id=2 * i + 1, start=i, end=i + 20)
        spans += [made(GENAI, call("chatcmpl-123"), parent=outer, start=i + 0.1, end=i + 19.9), outer]
    spans.sort(key=lambda span: span.end_time or 0)
    assert len(records(UsageProcessor(), *spans)) == 1000


def test_without_an_id_time_model_and_usage_tell() -> None:
    """A framework that does not know the id: within one another, same model, equal usage."""
    inner = made(GENAI, call("r1"), start=5, end=90)
    outer = made(OPENINFERENCE, seen_by_openinference(None), start=0, end=100)
    (record,) = records(UsageProcessor(), inner, outer)
    assert record["response_id"] == "r1"
    apart = made(OPENINFERENCE, seen_by_openinference(None), start=50, end=150)
    assert len(records(UsageProcessor(), inner, apart)) == 2


def test_equal_calls_of_two_applications_are_two() -> None:
    """Without an id, in traces of their own, what two applications do at one moment is two calls."""
    one, other = (Resource({"service.name": name}) for name in ("shop", "search"))
    spans = [
        made(GENAI, call("r1"), start=5, end=90, resource=one),
        made(OPENINFERENCE, seen_by_openinference(None), start=0, end=100, resource=other),
    ]
    assert len(records(UsageProcessor(), *spans)) == 2


def test_a_stream_whose_answer_another_took_is_the_others() -> None:
    """Of two instrumentations one may get no chunk to read: its stream without an answer is the stream that went on meanwhile."""
    read = {**call(), "gen_ai.request.stream": True}
    hidden = {"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4o-mini",
              "llm.invocation_parameters": '{"model": "gpt-4o-mini", "stream": true}'}  # fmt: skip
    one, other = (made(OPENINFERENCE, hidden, start=start, end=end) for start, end in ((1, 101), (300, 400)))
    assert len(records(UsageProcessor(), made(GENAI, read, start=0, end=100), one)) == 1
    assert len(records(UsageProcessor(), made(GENAI, read, start=0, end=100), other)) == 2


def test_a_later_span_completes_the_record() -> None:
    """The record comes again with its id and the next revision; what was known stays."""
    inner = made(GENAI, {**call("r1"), "user.id": "u1"}, start=5, end=90)
    outer = made(OPENINFERENCE, {**seen_by_openinference(), "llm.token_count.prompt_details.cache_read": 40, "user.id": "u2"},
                 start=0, end=100)  # fmt: skip
    processor = UsageProcessor()
    (first,) = records(processor, inner)
    known = first.known()
    (update,) = processor.process([outer])
    assert isinstance(update, TrackedSpan)
    assert not update.bears_cost
    assert update.record is not None
    assert (update.record["id"], update.record.rev) == (first["id"], 1)
    assert (update.record["cached_tokens"], update.record["user_id"]) == (40, "u1")
    assert first.known() == known


def test_in_one_batch_a_record_is_completed_in_place() -> None:
    """Nobody has seen it yet: there is one record, and no revision."""
    inner = made(GENAI, call("r1"), start=5, end=90)
    outer = made(OPENINFERENCE, {**seen_by_openinference(), "llm.token_count.prompt_details.cache_read": 40}, end=100)
    (record,) = records(UsageProcessor(), inner, outer, together=True)
    assert (record["cached_tokens"], record.rev) == (40, 0)


def test_failed_attempts_below_a_call_that_went_well_are_their_own() -> None:
    """A retry inside an SDK: each failed attempt is a record, and so is the answer on the span above."""
    parent = made(FRAMEWORK, call(), id=1, trace=7, end=100)
    attempts = [
        made("spectra_otel", call(None, None, None), parent=1, trace=7, end=10 + i, error="429") for i in range(2)
    ]
    found = records(UsageProcessor(), *attempts, parent)
    assert [record["is_failed"] for record in found] == [True, True, False]


def test_attempts_that_all_failed_are_as_many_records() -> None:
    """The last is on the span above: what was exchanged twice is two attempts, however alike they are."""
    handoff = Handoff()
    processor = UsageProcessor(handoff=handoff)
    parent = made("com.anthropic.sdk.python", call(None, None, None), id=1, trace=7, end=100, error="500")
    attempts = [
        made(
            "spectra_otel",
            call(None, None, None),
            id=5 + i,
            parent=1,
            trace=7,
            start=10 * i,
            end=10 * i + 9,
            error="500",
        )
        for i in range(2)
    ]
    for number, span in enumerate([*attempts, parent], 1):
        assert span.context is not None
        handoff.leave(span.context, {"provider": "anthropic", "is_failed": True, "status_code": 500, "attempt": number})
    assert sorted(record["attempt"] for record in records(processor, *attempts, parent)) == [1, 2, 3]


def test_a_failure_seen_twice_is_one_record() -> None:
    """Parent and child both failed: one refused request."""
    inner = made(GENAI, call(None, None, None), parent=1, trace=7, error="Error code: 429 - slow down", end=9)
    outer = made(FRAMEWORK, call(None, None, None), id=1, trace=7, error="slow down", end=10)
    (record,) = records(UsageProcessor(), inner, outer)
    assert (record["is_failed"], record["status_code"]) == (True, 429)


def test_a_wrapper_of_two_calls_is_neither() -> None:
    """google-genai calls twice under one span of MLflow, which repeats the last response: two records."""

    def mlflow(response_id: str, prompt: int) -> dict[str, Any]:
        return {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gemini-2.5-flash"',
            "mlflow.message.format": '"gemini"',
            "mlflow.spanOutputs": f'{{"response_id": "{response_id}", "usage_metadata": {{"prompt_token_count": {prompt}, '
            '"candidates_token_count": 5, "thoughts_token_count": 2}}',
        }

    scope = "mlflow.tracing.provider"
    first = made(scope, mlflow("a", 10), parent=1, trace=7, start=1, end=40)
    second = made(scope, mlflow("b", 30), parent=1, trace=7, start=50, end=90)
    found = records(UsageProcessor(), first, second, made(scope, mlflow("b", 30), id=1, trace=7, end=95))
    assert [(r["response_id"], r["prompt_tokens"], r["completion_tokens"], r["provider"]) for r in found] == [
        ("a", 10, 7, "google"),
        ("b", 30, 7, "google"),
    ]


def test_adk_calls_are_recorded_where_the_model_was_called() -> None:
    """`call_llm` wraps `generate_content`, whether it failed or not."""
    scope = "gcp.vertex.agent"
    generate = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
    }
    around = {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash",
              "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}  # fmt: skip
    for error in (None, "429 RESOURCE_EXHAUSTED"):
        inner = made(scope, generate, parent=1, trace=7, end=9, error=error)
        (record,) = records(UsageProcessor(), inner, made(scope, around, id=1, trace=7, end=10, error=error))
        assert (record["span_id"], record["provider"]) == (
            f"{inner.context.span_id:016x}" if inner.context else "",
            "google",
        )


def test_an_embedding_inside_a_call_is_a_call_of_its_own() -> None:
    """Only calls of one kind can be one response."""
    inner = made(GENAI, {**call(None, 9, None), "gen_ai.operation.name": "embeddings"}, parent=1, trace=7, end=9)
    assert len(records(UsageProcessor(), inner, made(FRAMEWORK, call(), id=1, trace=7, end=10))) == 2


def test_the_wire_wins() -> None:
    """What our instrumentor handed over replaces what the dialect read, doubts and all."""
    handoff = Handoff()
    span = made("openlit.otel.tracing", {**call(), "gen_ai.provider.name": "anthropic"})
    assert span.context is not None
    handoff.leave(
        span.context, {"prompt_tokens": 500, "completion_tokens": 5, "provider": "anthropic", "snapshot": "claude-x"}
    )
    (record,) = records(UsageProcessor(handoff=handoff), span)
    assert (record["prompt_tokens"], record["completion_tokens"], record["snapshot"]) == (500, 5, "claude-x")
    assert record["cost_status"] is None


def test_a_span_of_ours_is_read_where_the_app_added_to_it() -> None:
    """A span that says what the wire does is not read again; what a hook of the app's put on it counts all the same."""
    wire = {"prompt_tokens": 100, "completion_tokens": 5, "provider": "openai", "model": "gpt-4o", "snapshot": "gpt-4o"}
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 5,
    }  # fmt: skip
    handoff, found = Handoff(), []
    processor = UsageProcessor(handoff=handoff)
    for number, added in enumerate(({}, {}, {"user.id": "ada"}, {"spectra.metadata.team": "blue"}), start=1):
        span = made("spectra_otel", {**attributes, **added}, id=number, trace=number)
        assert span.context is not None
        handoff.leave(span.context, {**wire, "operation": "chat", "response_id": f"r{number}"})
        found += records(processor, span)
    assert [record["prompt_tokens"] for record in found] == [100] * 4
    assert [record["user_id"] for record in found] == [None, None, "ada", None]
    assert [record["metadata"] for record in found] == [None, None, None, {"team": "blue"}]


def test_what_the_app_wrote_is_never_overwritten() -> None:
    """Ours stands beside it: missing attributes are added, other numbers go under `spectra.usage`."""
    attributes = {**call(), "gen_ai.provider.name": "anthropic", "gen_ai.usage.cache_read.input_tokens": 40}
    (done,) = UsageProcessor().process([made("openlit.instrumentation.anthropic", attributes)])
    after = done.attributes or {}
    assert after["gen_ai.usage.input_tokens"] == 100
    assert after["spectra.usage.prompt_tokens"] == 140
    assert attributes.items() <= dict(after).items()


def test_a_span_that_cannot_be_read_is_passed_on() -> None:
    """A fault of ours is counted and never raised."""
    span = made(GENAI, call(), end=1e18)  # which no calendar has
    processor = UsageProcessor()
    (done,) = processor.process([span])
    assert done is span
    assert processor.failures == 1


def test_threads_may_share_it() -> None:
    """Eight threads, two spans a call: as many records as calls."""
    processor = UsageProcessor()

    def work(thread: int) -> int:
        found = 0
        for i in range(200):
            outer = made(FRAMEWORK, call(f"{thread}-{i}"), start=0, end=100)
            inner = made(GENAI, call(f"{thread}-{i}"), parent=outer, start=1, end=99)
            found += len(records(processor, inner, outer))
        return found

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1600


def test_a_child_process_does_not_inherit_a_held_lock() -> None:
    """A fork in the middle of another thread's work: the child goes on."""
    processor = UsageProcessor()
    with processor._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if len(processor.process([made(GENAI, call())])) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_memory_is_bounded() -> None:
    """Only the last calls are remembered, and not for ever."""
    processor = UsageProcessor(Config(remember=10, remember_minutes=1))
    records(processor, *[made((GENAI, LITELLM)[i % 2], call(f"r{i}"), end=i) for i in range(100)])
    election = processor._election
    assert len(election) == 10
    assert len(election._by_span) == 10
    assert len(election._by_response) == 10
    records(processor, made(GENAI, call("later"), start=120_000, end=120_001))
    assert len(election) == 1


@pytest.mark.parametrize("value", [0, -1, "many", True, 1.5])
def test_settings_out_of_range_are_refused(value: Any) -> None:
    """One line names the setting, the value and what is valid."""
    with pytest.raises(ConfigError, match=r"\Aremember: must be a whole number of 1 or more, got "):
        Config(remember=value).validate()


def test_the_factory_makes_it() -> None:
    """It enriches: the app's own exporters get what it adds."""
    made_by = factory()
    assert made_by.enriches
    assert isinstance(made_by.create(ComponentID("usage"), made_by.default_config()), UsageProcessor)


def test_provider_hosts_hold_for_spans_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose an unknown host is, one setting says: for calls that we observe and for spans that others made."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "llm.corp=anthropic,127.0.0.1:8000=groq")
    processor = UsageProcessor()
    found = records(
        processor,
        made(GENAI, call("r1", **{"server.address": "llm.corp", "server.port": 443})),
        made(GENAI, call("r2", **{"server.address": "127.0.0.1", "server.port": 8000})),
        made(GENAI, call("r3", **{"server.address": "127.0.0.1", "server.port": 8001})),
        made(GENAI, {**call("r4"), "server.address": "eu.api.deepseek.com"}),
    )
    assert [record["provider"] for record in found] == ["anthropic", "groq", "openai", "deepseek"]


def test_a_provider_host_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting when the pipeline is built."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "llm.corp=opnai")
    with pytest.raises(ConfigError, match="SPECTRA_PROVIDER_HOSTS"):
        UsageProcessor()


@pytest.mark.parametrize("cost", ["1e30", "1e999", "-5"])
def test_a_cost_that_cannot_be_costs_no_record(cost: str) -> None:
    """What a provider is said to have charged may be anything: beyond reason it is no cost, and the usage counts."""
    output = f'{{"id": "r1", "usage": {{"prompt_tokens": 100, "completion_tokens": 20, "cost": {cost}}}}}'
    span = made(OPENINFERENCE, {**seen_by_openinference(None), "output.value": output})
    (record,) = records(UsageProcessor(), span)
    assert (record["prompt_tokens"], record["total_cost_in_cents"]) == (100, None)


@pytest.mark.parametrize("lasted", [None, "x", float("nan"), float("inf"), 1e30])
def test_a_log_that_tells_of_a_call_is_a_record(lasted: Any) -> None:
    """A log of Logfire's that an app wrote about a call need not say how long it took, as those of its streams do."""
    (record,) = records(UsageProcessor(), made("logfire", call(**{"logfire.span_type": "log", "duration": lasted})))
    assert (record["prompt_tokens"], record["completion_tokens"]) == (100, 20)
