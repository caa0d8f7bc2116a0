"""What each family of instrumentations writes, and the record it becomes."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event

from spectra_otel.dialects._base import Role
from spectra_otel.dialects._reader import Readers, all_dialects
from tests.dialects.reading import ANTHROPIC, SEMCONV, fields, read
from tests.made_spans import START, made

LANGCHAIN_RESULT = {
    "generations": [[{"message": {"kwargs": {
        "response_metadata": {"id": "msg_1", "model_name": "claude-sonnet-4-5-20250929", "stop_reason": "end_turn",
                              "usage": {"input_tokens": 30, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 30,
                                        "output_tokens": 20}},
        "usage_metadata": {"input_tokens": 100, "output_tokens": 20, "input_token_details": {"cache_read": 40}},
    }}}]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "version"),
    [
        ("opentelemetry.instrumentation.genai.anthropic", "1.3b0"),
        ("com.anthropic.sdk.python", "2.11.0"),
        ("opentelemetry.instrumentation.anthropic", "0.62.4"),
        ("pydantic-ai", "2.62.0"),
        ("gen_ai", None),
        ("some.unknown.scope", "9"),
    ],
)
def test_input_that_includes_the_cache_is_taken_as_it_is(scope: str, version: str | None) -> None:
    """Most families count cached tokens in the input: the record has the very number."""
    assert fields(scope, ANTHROPIC, version)["prompt_tokens"] == 100


@pytest.mark.parametrize(
    ("scope", "provider"),
    [
        ("openlit.instrumentation.anthropic", "anthropic"),
        ("opentelemetry.instrumentation.genai.bedrock", "aws.bedrock"),
        ("opentelemetry.instrumentation.bedrock", "aws.bedrock"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "aws.bedrock"),
    ],
)
def test_input_that_excludes_the_cache_is_made_whole(scope: str, provider: str) -> None:
    """Some families hand on Anthropic's own number: cache reads and writes are added."""
    found = fields(scope, {**ANTHROPIC, "gen_ai.provider.name": provider})
    assert (found["prompt_tokens"], found["cached_tokens"], found["cache_write_tokens"]) == (170, 40, 30)
    assert found["total_tokens"] == 190


def test_exclusive_input_without_cache_counts_is_a_floor() -> None:
    """OpenLIT 1.33 says nothing of the cache: the input is not known, and what it said is kept."""
    attributes = {key: value for key, value in ANTHROPIC.items() if "cache" not in key}
    role, draft = read("openlit.otel.tracing", attributes)
    assert role is Role.CALL
    assert "prompt_tokens" not in draft.fields
    assert draft.fields["usage_raw"] == {"input_tokens": 100, "output_tokens": 20}
    assert draft.doubt is not None
    assert draft.doubt.value == "partial"


def test_a_rule_is_for_a_range_of_versions() -> None:
    """google-genai before 1 counts no thoughts; from 1 on, and where there is no version, output is all output."""
    attributes = {
        **SEMCONV,
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gemini",
        "code.function.name": "google.genai.Models.generate_content",
    }
    scope = "opentelemetry.instrumentation.google_genai"
    assert "completion_tokens" not in fields(scope, attributes, "0.3b0")
    assert fields(scope, attributes, "1.3b0")["completion_tokens"] == 20
    assert fields(scope, attributes, None)["completion_tokens"] == 20
    assert fields(scope, attributes, "99.1")["completion_tokens"] == 20


def test_a_version_of_any_digits_costs_no_record() -> None:
    """What follows a version's number may be a digit of another script."""
    assert fields("pydantic-ai", ANTHROPIC, "2.62.²")["prompt_tokens"] == 100


def test_summed_input_of_old_gemini_streams_is_not_trusted() -> None:
    """0.3b0 adds up the input of every chunk: the number stays raw, and is no floor."""
    attributes = {
        **SEMCONV,
        "gen_ai.operation.name": "generate_content",
        "code.function.name": "google.genai.Models.generate_content_stream",
    }
    found = fields("opentelemetry.instrumentation.google_genai", attributes, "0.3b0")
    assert "prompt_tokens" not in found
    assert found["usage_raw"]["reported_prompt_tokens"] == 100
    assert found["is_streaming"] is True


def test_thoughts_are_part_of_the_output() -> None:
    """Where Gemini's output excludes thoughts they are added, from their own count or from the total."""
    google = {**SEMCONV, "gen_ai.provider.name": "gemini", "gen_ai.request.model": "gemini-2.5-flash"}
    counted = fields("openlit.instrumentation.google_ai_studio", {**google, "gen_ai.usage.reasoning_tokens": 7})
    assert (counted["completion_tokens"], counted["reasoning_tokens"], counted["is_reasoning"]) == (27, 7, True)
    derived = fields("opentelemetry.instrumentation.google_generativeai", {**google, "gen_ai.usage.total_tokens": 125})
    assert (derived["completion_tokens"], derived["reasoning_tokens"]) == (25, 5)


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({"server.address": "my-resource.openai.azure.com"}, "azure"),
        ({"server.address": "https://api.groq.com/openai/v1/"}, "groq"),
        ({"server.address": "api.deepseek.com"}, "deepseek"),
        ({"server.address": "openrouter.ai", "server.port": 443}, "openrouter"),
        ({"server.address": "us-east5-aiplatform.googleapis.com"}, "vertex"),
        ({"server.address": "bedrock-runtime.eu-west-1.amazonaws.com"}, "bedrock"),
        ({"server.address": "127.0.0.1"}, "openai"),
        ({"server.address": "notopenrouter.ai"}, "openai"),
        ({"gen_ai.provider.name": "azure.ai.openai"}, "azure"),
        ({"gen_ai.provider.name": "gcp.gen_ai"}, "google"),
        ({"gen_ai.provider.name": "strands-agents", "gen_ai.request.model": "claude-sonnet-4-5"}, "anthropic"),
        ({"gen_ai.provider.name": "langchain", "gen_ai.request.model": "us.anthropic.claude-x-v1:0"}, "bedrock"),
        ({"gen_ai.provider.name": "novita"}, "novita"),
    ],
)
def test_the_provider_is_who_served(attributes: dict[str, Any], provider: str) -> None:
    """The host wins over the name, a framework's name says nothing, a model's family decides where nothing else does."""
    assert fields("opentelemetry.instrumentation.genai.openai", {**SEMCONV, **attributes})["provider"] == provider


@pytest.mark.parametrize(
    ("host", "tier"), [("ollama.com", "cloud"), ("https://ollama.com:443/v1", "cloud"), ("localhost", None)]
)
def test_ollamas_cloud_is_told_by_its_host(host: str, tier: str | None) -> None:
    """Its models have the names that they have on a machine of one's own, where they are free."""
    found = fields("x", SEMCONV | {"gen_ai.provider.name": "ollama", "server.address": host}, "1")
    assert (found["provider"], found.get("pricing_tier")) == ("ollama", tier)


def test_openinference_reads_request_and_response() -> None:
    """Ids, both model names, streaming and the end user stand in the JSON of input and output."""
    found = fields(
        "openinference.instrumentation.openai",
        {
            "openinference.span.kind": "LLM",
            "llm.system": "openai",
            "llm.model_name": "gpt-4o-mini-2024-07-18",
            "llm.invocation_parameters": '{"model": "gpt-4o-mini", "stream": true, "user": "u7"}',
            "output.value": '{"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [{"finish_reason": "stop"}]}',
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_read": 40,
        },
        "0.1.66",
        events=[Event("First Token Stream Event", {}, START + 25_000_000)],
    )
    assert (found["model"], found["snapshot"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (found["response_id"], found["finish_reason"], found["user_id"]) == ("chatcmpl-1", "stop", "u7")
    assert (found["is_streaming"], found["time_to_first_token_ms"], found["cached_tokens"]) == (True, 25, 40)


def test_openinference_prompts_are_not_parsed_for_what_stands_in_the_parameters() -> None:
    """The whole request is read only where the parameters do not stand apart: it holds every prompt."""
    request = {"openinference.span.kind": "LLM", "input.value": '{"model": "in-request", "user": "u1"}'}
    parameters = {"llm.invocation_parameters": '{"model": "in-parameters"}'}
    assert fields("openinference.instrumentation.openai", request)["model"] == "in-request"
    assert fields("openinference.instrumentation.openai", request | parameters)["model"] == "in-parameters"
    assert "user_id" not in fields("openinference.instrumentation.openai", request | parameters)


def test_openinference_langchain_takes_the_providers_own_usage() -> None:
    """LangChain's result holds Anthropic's usage object: it is the truth, whatever the counts beside it exclude."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model": "claude-sonnet-4-5", "_type": "anthropic-chat"}',
        "llm.token_count.prompt": 30,
        "llm.token_count.completion": 20,
        "output.value": json.dumps(LANGCHAIN_RESULT),
    }
    for version in ("0.1.43", "0.1.80"):
        found = fields("openinference.instrumentation.langchain", attributes, version)
        assert (found["prompt_tokens"], found["cache_write_tokens"], found["response_id"]) == (100, 30, "msg_1")
        assert (found["provider"], found["snapshot"]) == ("anthropic", "claude-sonnet-4-5-20250929")


def test_openinference_langchain_of_2025_excludes_what_it_counts_apart() -> None:
    """Before 0.1.50 and with the answer hidden, input and the cache counts beside it add up; later, input is whole."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.token_count.prompt": 30,
        "llm.token_count.completion": 20,
        "llm.token_count.prompt_details.cache_read": 20,
        "llm.token_count.prompt_details.cache_write": 5,
    }
    assert fields("openinference.instrumentation.langchain", attributes, "0.1.43")["prompt_tokens"] == 55
    assert fields("openinference.instrumentation.langchain", attributes, "0.1.80")["prompt_tokens"] == 30


@pytest.mark.parametrize("kind", ["CHAIN", "AGENT", "TOOL", "RETRIEVER"])
def test_openinference_wrappers_and_tools_are_no_calls(kind: str) -> None:
    """Only LLM and EMBEDDING spans are calls."""
    assert read("openinference.instrumentation.crewai", {"openinference.span.kind": kind})[0] is not Role.CALL


def test_langfuse_knows_two_conventions() -> None:
    """The LangChain handler's parts add up; the OpenAI wrapper keeps the provider's object."""
    base = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "o4-mini"}
    parts = {"input": 60, "input_cache_read": 40, "output": 5, "output_reasoning": 15, "total": 120}
    found = fields("langfuse-sdk", {**base, "langfuse.observation.usage_details": json.dumps(parts)})
    assert (found["prompt_tokens"], found["cached_tokens"]) == (100, 40)
    assert (found["completion_tokens"], found["reasoning_tokens"], found["provider"]) == (20, 15, "openai")
    whole = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 40}}
    found = fields("langfuse-sdk", {**base, "langfuse.observation.usage_details": json.dumps(whole)})
    assert (found["prompt_tokens"], found["cached_tokens"], found["completion_tokens"]) == (100, 40, 20)


def test_langfuse_parts_without_a_total_are_read() -> None:
    """What an app counted by itself may have no output, and no total: the input is known all the same."""
    base = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini"}
    for usage in ({"input": 1000, "output": 0}, {"input": 1000, "output": 0, "total": 0}):
        found = fields("langfuse-sdk", {**base, "langfuse.observation.usage_details": json.dumps(usage)})
        assert (found["prompt_tokens"], found["completion_tokens"]) == (1000, 0)


def test_litellm_ids_are_unwrapped_or_forgotten() -> None:
    """An id that LiteLLM made up is none; one it wrapped in Base64 is the provider's again."""
    wrapped = b64encode(b"litellm:custom_llm_provider:openai;model_id:None;response_id:resp_abc").decode()
    attributes = {**SEMCONV, "gen_ai.response.id": f"resp_{wrapped}"}
    assert fields("litellm", attributes)["response_id"] == "resp_abc"
    own = "chatcmpl-9a70aade-f5f2-49be-aff7-e967d6bfb920"
    assert "response_id" not in fields("litellm", {**SEMCONV, "gen_ai.response.id": own})
    real = "chatcmpl-5XPtrfnrKo4HtWpTyxvx3syRJ3Srr"
    assert fields("litellm", {**SEMCONV, "gen_ai.response.id": real})["response_id"] == real


def test_litellm_of_1_74_counts_no_cache_writes() -> None:
    """The older attribute names mean the older numbers; the parts stand in the repr of a Python object."""
    details = "{'cached_tokens': 40, 'audio_tokens': None}"
    parts = f"{{'prompt_tokens': 70, 'prompt_tokens_details': {details}, 'cache_creation_input_tokens': 30}}"
    attributes = {
        "gen_ai.request.model": "claude-sonnet-4-5",
        "llm.request.type": "completion",
        "gen_ai.system": "anthropic",
        "gen_ai.usage.prompt_tokens": 70,
        "gen_ai.usage.completion_tokens": 20,
        "metadata.usage_object": parts,
    }
    found = fields("litellm", attributes)
    assert (found["prompt_tokens"], found["cached_tokens"], found["cache_write_tokens"]) == (100, 40, 30)


def test_litellms_raw_request_is_no_call() -> None:
    """`raw_gen_ai_request` repeats the response of the span above it."""
    assert read("litellm", {"llm.openai.usage": "{}"}, name="raw_gen_ai_request")[0] is Role.WRAPPER


def test_logfire_streams_are_recorded_at_their_end() -> None:
    """The request's half of a stream is no call; the log at its end is, with the usage as the provider sent it."""
    request = {
        "request_data": '{"model":"gpt-4o-mini"}',
        "gen_ai.request.model": "gpt-4o-mini",
        "logfire.span_type": "span",
    }
    assert read("logfire.openai", request, "5.2.0")[0] is Role.WRAPPER
    raw = '{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":40},"cost":0.5}'
    end = {**request, "logfire.span_type": "log", "duration": 0.25, "gen_ai.usage.raw": raw,
           "gen_ai.response.model": "gpt-4o-mini"}  # fmt: skip
    found = fields("logfire.openai", end, "5.2.0")
    assert (found["prompt_tokens"], found["cached_tokens"], found["is_streaming"]) == (100, 40, True)
    assert "snapshot" not in found


def test_mlflow_reads_json_in_json() -> None:
    """Every attribute of MLflow is JSON, texts with their quotes."""
    response = {"id": "msg_1", "model": "claude-sonnet-4-5-20250929", "stop_reason": "end_turn",
                "usage": {"input_tokens": 30, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 30,
                          "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 11}}}  # fmt: skip
    found = fields(
        "mlflow.tracing.provider",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"claude-sonnet-4-5"',
            "mlflow.llm.provider": '"anthropic"',
            "mlflow.spanOutputs": json.dumps(response),
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20}',
        },
    )
    assert (found["provider"], found["model"], found["response_id"]) == ("anthropic", "claude-sonnet-4-5", "msg_1")
    assert (found["prompt_tokens"], found["reasoning_tokens"], found["finish_reason"]) == (100, 11, "end_turn")


def test_vercel_5_and_6_mean_different_inputs() -> None:
    """5 hands on Anthropic's own input; 6, which splits it into parts, the whole."""
    attributes = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": "anthropic.messages",
        "ai.model.id": "claude-sonnet-4-5",
        "ai.usage.inputTokens": 30,
        "ai.usage.outputTokens": 20,
        "ai.usage.cachedInputTokens": 40,
        "ai.response.providerMetadata": '{"anthropic":{"usage":{"input_tokens":30,"cache_creation_input_tokens":30,'
        '"cache_read_input_tokens":40,"output_tokens":20}}}',
    }
    found = fields("ai", attributes)
    assert (found["provider"], found["prompt_tokens"], found["cache_write_tokens"]) == ("anthropic", 100, 30)
    found = fields("ai", {**attributes, "ai.model.provider": "vertex.anthropic.messages"})
    assert (found["provider"], found["prompt_tokens"], found["completion_tokens"]) == ("vertex", 100, 20)
    six = {**attributes, "ai.usage.inputTokens": 100, "ai.usage.inputTokenDetails.noCacheTokens": 30,
           "ai.usage.inputTokenDetails.cacheReadTokens": 40, "ai.usage.inputTokenDetails.cacheWriteTokens": 30}  # fmt: skip
    assert fields("ai", six)["prompt_tokens"] == 100
    assert read("ai", {"ai.operationId": "ai.streamText", "ai.usage.inputTokens": 30})[0] is Role.WRAPPER


def test_agents_are_wrappers_in_every_family() -> None:
    """Usage on an agent belongs to the calls below it, under whatever names it stands there."""
    usage = {"gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 50, "gen_ai.request.model": "gpt-4o-mini"}
    assert read("agent_framework", {**usage, "gen_ai.operation.name": "invoke_agent"})[0] is Role.WRAPPER
    assert read("strands.telemetry.tracer", {**usage, "gen_ai.operation.name": "invoke_agent"})[0] is Role.WRAPPER
    assert read("pydantic-ai", usage, "1.0.5", name="agent run")[0] is Role.WRAPPER
    assert (
        read("opentelemetry.instrumentation.langchain", {**usage, "traceloop.span.kind": "workflow"})[0] is Role.WRAPPER
    )
    assert read("langsmith", {**usage, "langsmith.span.kind": "chain"})[0] is Role.WRAPPER


def test_a_failed_call_with_nothing_but_its_name_is_read() -> None:
    """OpenLIT 1.33 leaves a failed span without attributes: model from its name, status from the error's text."""
    found = fields(
        "openlit.otel.tracing", {}, name="chat claude-sonnet-4-5", error="RateLimitError: Error code: 429 - {…}"
    )
    assert (found["model"], found["provider"], found["status_code"]) == ("claude-sonnet-4-5", "anthropic", 429)
    assert found["is_failed"] is True


def test_numbers_that_contradict_each_other_are_refused() -> None:
    """More cached than input, negative or absurd counts: no tokens but raw ones, and a status that says so."""
    for attributes in (
        {"gen_ai.usage.cache_read.input_tokens": 101},
        {"gen_ai.usage.reasoning.output_tokens": 21},
        {"gen_ai.usage.input_tokens": -1},
        {"gen_ai.usage.input_tokens": 10**19},
        {"gen_ai.usage.output_tokens": "1.5"},
    ):
        found = fields("opentelemetry.instrumentation.genai.openai", {**SEMCONV, **attributes})
        assert "prompt_tokens" not in found
        assert "completion_tokens" not in found
        assert (found["cost_status"], found["error_type"]) == ("unpriced", "usage_inconsistent")
        assert found["usage_raw"]


def test_zero_for_everything_is_not_a_measurement() -> None:
    """An instrumentation that lost a stream's usage writes 0 and 0: the record has neither."""
    zeros = {**SEMCONV, "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    found = fields("opentelemetry.instrumentation.anthropic", zeros, "0.40.14")
    assert "prompt_tokens" not in found


def test_what_a_pipeline_upstream_wrote_wins() -> None:
    """`spectra.usage.*` is normalised already: an exclusive dialect's rule is not applied a second time."""
    attributes = {**ANTHROPIC, "spectra.usage.prompt_tokens": 170}
    assert fields("openlit.instrumentation.anthropic", attributes)["prompt_tokens"] == 170


@pytest.mark.parametrize(
    "raw",
    [
        '{"input_tokens": 5, "input_token_details": {"cache_creation": "many", "ephemeral_5m_input_tokens": [1]}}',
        '{"prompt_tokens": {"a": 1}, "completion_tokens": [], "prompt_tokens_details": 7}',
        '{"input_tokens": "x", "cache_read_input_tokens": null, "cache_creation": [], "server_tool_use": 3}',
        '["not", "an", "object"]',
        "not json",
        "{" * 100_000,
    ],
)
def test_a_text_that_holds_anything_costs_no_record(raw: str) -> None:
    """The record is made from the attributes, whatever a text among them says."""
    attributes = {**SEMCONV, "logfire.span_type": "span", "gen_ai.response.id": "r1", "gen_ai.usage.raw": raw}
    found = fields("logfire.openai", attributes, "5.2.0")
    assert (found["response_id"], found["model"]) == ("r1", "gpt-4o-mini")


def test_a_roll_up_of_a_pipeline_upstream_stays_one() -> None:
    """The election was held where all spans of the call were seen."""
    assert read("opentelemetry.instrumentation.genai.openai", {**SEMCONV, "spectra.rollup": True})[0] is Role.WRAPPER


def test_a_scope_is_not_claimed_by_the_beginning_of_a_word() -> None:
    """`ai` is Vercel's scope, `aiohttp` is not; a span without GenAI attributes is nobody's."""
    span = made("aiohttp.client", {"http.request.method": "GET", "ai_flag": True})
    assert Readers().claim(span) is None


def test_unknown_scopes_are_claimed_by_their_attributes() -> None:
    """An app's own span with GenAI attributes is read by the conventions it follows."""
    reader = Readers().claim(made("my.app", {"llm.token_count.prompt": 3, "openinference.span.kind": "LLM"}))
    assert reader is not None
    assert reader.dialect.name == "openinference"


def test_every_dialect_has_a_name_and_a_claim() -> None:
    """A dialect without a scope or an attribute could never be used."""
    dialects = all_dialects()
    assert len({dialect.name for dialect in dialects}) == len(dialects) >= 15
    assert all(dialect.scopes or dialect.keys for dialect in dialects)


def test_agent_frameworks_tell_the_finish_reason_in_their_own_places() -> None:
    """Strands tells it in the messages of an event, Semantic Kernel by the name of an enum."""
    messages = json.dumps([{"role": "assistant", "parts": [], "finish_reason": "tool_use"}])
    event = Event("gen_ai.client.inference.operation.details", {"gen_ai.output.messages": messages})
    strands = fields(
        "strands.telemetry.tracer", {**ANTHROPIC, "gen_ai.provider.name": "strands-agents"}, events=[event]
    )
    assert (strands["finish_reason"], strands["has_tool_calls"], strands["provider"]) == ("tool_use", True, "anthropic")
    scope = "semantic_kernel.utils.telemetry.model_diagnostics.decorators"
    kernel = fields(scope, {**SEMCONV, "gen_ai.response.finish_reason": "FinishReason.TOOL_CALLS"})
    assert (kernel["finish_reason"], kernel["has_tool_calls"]) == ("tool_calls", True)


@pytest.mark.parametrize(
    ("scope", "version", "attributes"),
    [
        ("gcp.vertex.agent", "2.13.0", {"gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "gcp.gemini"}),
        ("opentelemetry.instrumentation.google_genai", "1.3b0",
         {"gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "gemini", "logfire.span_type": "span"}),
        ("pydantic-ai", "1.0.5", {"gen_ai.operation.name": "chat", "gen_ai.system": "google-gla"}),
    ],
)  # fmt: skip
def test_gemini_in_three_more_families(scope: str, version: str, attributes: dict[str, Any]) -> None:
    """Input includes the cache and output the thoughts; whatever the name, Google served."""
    usage = {
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.cache_read.input_tokens": 512,
        "gen_ai.usage.reasoning.output_tokens": 30,
    }
    found = fields(scope, {**attributes, **usage}, version)
    assert (found["provider"], found["prompt_tokens"], found["completion_tokens"]) == ("google", 1000, 80)
    assert (found["cached_tokens"], found["reasoning_tokens"]) == (512, 30)


def test_openinference_bedrock_includes_the_cache_whatever_the_response_says() -> None:
    """Converse excludes the cache in its own usage object, which is read as what it is."""
    usage = {"inputTokens": 100, "outputTokens": 20, "cacheReadInputTokens": 800, "cacheWriteInputTokens": 50}
    attributes = {
        "openinference.span.kind": "LLM", "llm.provider": "aws", "llm.system": "anthropic",
        "llm.model_name": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "llm.token_count.prompt": 950,
        "llm.token_count.completion": 20, "llm.token_count.prompt_details.cache_read": 800,
        "llm.token_count.prompt_details.cache_write": 50, "output.value": json.dumps({"usage": usage}),
    }  # fmt: skip
    found = fields("openinference.instrumentation.bedrock", attributes, "0.1.61")
    assert (found["provider"], found["prompt_tokens"], found["cached_tokens"]) == ("bedrock", 950, 800)
    assert found["cache_write_tokens"] == 50


def test_mlflow_gemini_counts_thoughts_by_the_response() -> None:
    """Its own counts leave thoughts out; the response has them."""
    usage = {"prompt_token_count": 1000, "candidates_token_count": 50, "thoughts_token_count": 30}
    attributes = {
        "mlflow.spanType": '"CHAT_MODEL"', "mlflow.message.format": '"gemini"', "mlflow.llm.model": '"gemini-2.5-flash"',
        "mlflow.spanOutputs": json.dumps({"response_id": "r1", "usage_metadata": usage}),
        "mlflow.chat.tokenUsage": json.dumps({"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1080}),
    }  # fmt: skip
    found = fields("mlflow.tracing.provider", attributes)
    assert (found["provider"], found["completion_tokens"], found["reasoning_tokens"]) == ("google", 80, 30)
