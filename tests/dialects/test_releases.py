"""What releases of instrumentations mean by their numbers, frameworks hand on, and nobody has looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spectra_otel.dialects._base import Role
from spectra_otel.dialects._usage import read_usage
from tests.dialects.reading import ANTHROPIC, SEMCONV, fields, read


@pytest.mark.parametrize(
    ("details", "prompt", "cached", "written"),
    [
        ({"input": 0, "output": 20, "total": 120, "input_cache_creation": 30, "input_cache_read": 40,
          "input_ephemeral_5m_input_tokens": 30}, 100, 40, 30),
        ({"input": 30, "output": 20, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 40,
          "cache_creation_ephemeral_5m_input_tokens": 30}, 100, 40, 30),
        ({"input": 30, "output": 20, "total": 120, "cache_read_input_tokens": 40, "cache_write_input_tokens": 30}, 100, 40, 30),
        ({"input": 60, "output": 20, "total": 120, "input_cache_read": 40, "input_priority": 100}, 100, 40, None),
    ],
)  # fmt: skip
def test_langfuse_parts_are_counted_once(
    details: dict[str, int], prompt: int, cached: int, written: int | None
) -> None:
    """Langfuse splits input into parts, and lists parts of parts beside them: the input is what they have in common."""
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "claude-sonnet-4-5",
        "langfuse.observation.usage_details": json.dumps(details),
    }
    found = fields("langfuse-sdk", attributes, "5.0.4")
    assert (found["prompt_tokens"], found["completion_tokens"]) == (prompt, 20)
    assert (found["cached_tokens"], found.get("cache_write_tokens")) == (cached, written)


def test_an_input_of_zero_is_not_known() -> None:
    """No model answers to nothing: an instrumentation that says zero input did not read it, and the cost is a floor."""
    role, draft = read("some.scope", {**SEMCONV, "gen_ai.usage.input_tokens": 0})
    assert role is Role.CALL
    assert "prompt_tokens" not in draft.fields
    assert draft.doubt is not None
    assert draft.doubt.value == "partial"


@pytest.mark.parametrize(
    ("version", "prompt", "doubt"),
    [("1.18.0", None, "partial"), ("1.37.0", 170, None), ("1.59.0", 100, None), ("2.62.0", 100, None)],
)
def test_pydantic_ai_on_bedrock_by_version(version: str, prompt: int | None, doubt: str | None) -> None:
    """Input of Bedrock: without the cache and silent about it, without the cache, and whole, by the release."""
    attributes = {**ANTHROPIC, "gen_ai.provider.name": "bedrock"}
    if version == "1.18.0":
        attributes = {key: value for key, value in attributes.items() if "cache" not in key}
    _, draft = read("pydantic-ai", attributes, version)
    assert draft.fields.get("prompt_tokens") == prompt
    assert (draft.doubt and draft.doubt.value) == doubt


def test_anthropic_streams_that_no_flag_tells() -> None:
    """OpenInference names the SDK's stream helper, OpenLLMetry writes its attributes in another order."""
    old = {"openinference.span.kind": "LLM", "llm.provider": "anthropic", "llm.model_name": "claude-sonnet-4-5",
           "llm.token_count.prompt": 30, "llm.token_count.completion": 20}  # fmt: skip
    found = fields("openinference.instrumentation.anthropic", old, "0.1.19", name="MessagesStream")
    assert found["is_streaming"] is True
    assert "prompt_tokens" not in found
    scope, names = "opentelemetry.instrumentation.anthropic", ("gen_ai.response.id", "gen_ai.response.model")
    for order, doubt in ((names, "estimated"), (names[::-1], None)):
        _, draft = read(scope, {**ANTHROPIC, **dict.fromkeys(order, "claude-sonnet-4-5-20250929")}, "0.62.4")
        assert (draft.doubt and draft.doubt.value) == doubt


def test_openllmetry_that_lost_its_cache_counts() -> None:
    """Releases around 0.50 do not say what was cached: at the full rate the cost is an estimate."""
    attributes = {key: value for key, value in ANTHROPIC.items() if "cache" not in key}
    _, draft = read("opentelemetry.instrumentation.anthropic", attributes, "0.50.0")
    assert draft.doubt is not None
    assert draft.doubt.value == "estimated"


def test_openinference_reads_the_request_where_the_parameters_lack_the_model() -> None:
    """Anthropic's parameters of 1.0 do not name the model; the request does."""
    found = fields(
        "openinference.instrumentation.anthropic",
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "claude-sonnet-4-5-20250929",
            "llm.invocation_parameters": '{"max_tokens": 9}',
            "input.value": '{"model": "claude-sonnet-4-5"}',
        },
        "1.0.5",
    )
    assert (found["model"], found["snapshot"]) == ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")


def test_a_responses_stream_of_logfire_is_its_log() -> None:
    """The request's half of a stream holds events of what was asked: it is no call beside the log that ends the stream."""
    request = {"request_data": '{"model":"gpt-4o-mini","stream":true}', "events": "[]", "logfire.span_type": "span"}
    assert read("logfire.openai", {**SEMCONV, **request}, "4.34.0")[0] is Role.CALL
    asked = {key: value for key, value in SEMCONV.items() if "usage" not in key}
    assert read("logfire.openai", {**asked, **request}, "4.34.0")[0] is Role.WRAPPER


def test_logfire_of_3_asked_for_what_the_request_says() -> None:
    """3 wrote the served model's name over the requested one's; the request has it."""
    attributes = {
        **SEMCONV,
        "gen_ai.request.model": "gpt-4o-mini-2024-07-18",
        "request_data": '{"model":"gpt-4o-mini"}',
    }
    assert fields("logfire.openai", attributes, "3.16.1")["model"] == "gpt-4o-mini"


def test_old_langchain_counted_anthropics_streams_twice() -> None:
    """What LangChain of early 2025 says of a streamed answer is kept, and not taken for its usage."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.invocation_parameters": '{"model": "claude-sonnet-4-5", "stream": true}',
        "llm.token_count.prompt": 200,
        "llm.token_count.completion": 20,
    }
    _, draft = read("openinference.instrumentation.langchain", attributes, "0.1.33")
    assert "prompt_tokens" not in draft.fields
    assert draft.fields["usage_raw"]["reported_prompt_tokens"] == 200
    assert fields("openinference.instrumentation.langchain", attributes, "0.1.80")["prompt_tokens"] == 200


@pytest.mark.parametrize(("prompt", "model", "doubt"), [
    (1023, "gpt-4o-mini", None), (1024, "gpt-4o-mini", "estimated"), (1023, "deepseek-chat", "estimated"),
])  # fmt: skip
def test_a_short_prompt_of_openai_was_not_cached(prompt: int, model: str, doubt: str | None) -> None:
    """Where nothing counts cached tokens, OpenAI's own minimum tells that there were none."""
    attributes = {**SEMCONV, "gen_ai.usage.input_tokens": prompt, "gen_ai.request.model": model}
    _, draft = read("opentelemetry.instrumentation.openai_v2", attributes)
    assert (draft.doubt and draft.doubt.value) == doubt


def test_openinference_of_a_framework_knows_the_request_alone() -> None:
    """The model's name is the requested one, without its vendor, and totals without cached tokens are an estimate."""
    attributes = {
        "openinference.span.kind": "LLM", "llm.provider": "anthropic", "llm.model_name": "anthropic/claude-sonnet-4-5",
        "llm.token_count.prompt": 100, "llm.token_count.completion": 20,
    }  # fmt: skip
    role, draft = read("openinference.instrumentation.smolagents", attributes)
    assert role is Role.CALL
    assert (draft.fields["model"], draft.fields.get("snapshot")) == ("claude-sonnet-4-5", None)
    assert draft.doubt is not None
    cache = {"llm.token_count.prompt_details.cache_read": 40, "llm.token_count.prompt_details.cache_write": 30}
    assert fields("openinference.instrumentation.agno", {**attributes, **cache})["prompt_tokens"] == 170


def test_adk_of_1_keeps_the_response() -> None:
    """The counts of ADK's own span leave out thoughts and cached tokens; the response beside them has both."""
    usage = {
        "prompt_token_count": 100,
        "candidates_token_count": 20,
        "thoughts_token_count": 7,
        "cached_content_token_count": 40,
    }
    attributes = {
        "gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash", "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20, "gcp.vertex.agent.llm_response": json.dumps({"usage_metadata": usage}),
    }  # fmt: skip
    found = fields("gcp.vertex.agent", attributes, name="call_llm")
    assert (found["completion_tokens"], found["cached_tokens"], found["reasoning_tokens"]) == (27, 40, 7)
    _, draft = read("gcp.vertex.agent", {**attributes, "gcp.vertex.agent.llm_response": "{}"}, name="call_llm")
    assert draft.doubt is not None


@pytest.mark.parametrize(
    ("changes", "prompt", "completion", "doubt"),
    [
        ({}, 100, 20, "estimated"),
        ({"gen_ai.usage.input_tokens": 30}, 100, 20, "estimated"),
        ({"gen_ai.provider.name": "openai", "gen_ai.usage.reasoning.output_tokens": 50}, 100, 70, "estimated"),
        ({"gen_ai.provider.name": "openai"}, 100, 20, None),
    ],
)
def test_a_scope_that_nobody_knows(changes: dict[str, Any], prompt: int, completion: int, doubt: str | None) -> None:
    """The conventions are believed as far as the numbers allow: parts that are more than the whole stand beside it."""
    _, draft = read("some.unknown.scope", {**ANTHROPIC, **changes})
    assert (draft.fields["prompt_tokens"], draft.fields["completion_tokens"]) == (prompt, completion)
    assert (draft.doubt and draft.doubt.value) == doubt


def test_pydantic_ai_before_1() -> None:
    """0.x: Gemini's thoughts stand beside the output, and a stream names the requested model as the served one."""
    google = {**SEMCONV, "gen_ai.provider.name": "google-gla", "gen_ai.usage.details.thoughts_tokens": 7}
    assert fields("pydantic-ai", google, "0.4.10")["completion_tokens"] == 27
    assert fields("pydantic-ai", google, "0.8.1")["completion_tokens"] == 20
    stream = {**SEMCONV, "gen_ai.response.model": "gpt-4o-mini"}
    assert "snapshot" not in fields("pydantic-ai", stream, "0.8.1")
    assert fields("pydantic-ai", stream, "1.0.5")["snapshot"] == "gpt-4o-mini"


def test_openllmetry_on_bedrock() -> None:
    """The model gets its maker back; Converse without cache counts had none, of InvokeModel they are not known."""
    scope, bedrock = "opentelemetry.instrumentation.bedrock", {**SEMCONV, "gen_ai.provider.name": "aws.bedrock"}
    assert fields(scope, {**bedrock, "gen_ai.request.model": "llama3-70b-instruct-v1:0"})["model"].startswith(
        "meta.llama3"
    )
    claude = {**bedrock, "gen_ai.request.model": "claude-sonnet-4-5-20250929-v1:0"}
    assert fields(scope, claude)["prompt_tokens"] == 100
    assert "prompt_tokens" not in fields(scope, {**claude, "gen_ai.response.id": "msg_1"})


def test_the_model_tells_what_the_span_does_not() -> None:
    """Anthropic's SDK on Bedrock is Bedrock, and a model for embeddings embeds."""
    found = fields("some.scope", {**ANTHROPIC, "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"})
    assert found["provider"] == "bedrock"
    titan = {**SEMCONV, "gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": "amazon.titan-embed-text-v2:0"}
    assert fields("some.scope", titan)["model_type"] == "embedding"


def test_an_answer_of_chunks_was_streamed() -> None:
    """LangChain's own parameters say `stream: false` of a stream; the message says what it was put together from."""
    message = {"kwargs": {"type": "AIMessageChunk", "response_metadata": {"model_name": "gpt-4o-mini-2024-07-18"}}}
    found = fields(
        "openinference.instrumentation.langchain",
        {
            "openinference.span.kind": "LLM",
            "llm.invocation_parameters": '{"model": "gpt-4o-mini", "stream": false, "_type": "openai-chat"}',
            "output.value": json.dumps({"generations": [[{"message": message}]]}),
        },
    )
    assert found["is_streaming"] is True


def test_chat_bedrock_has_openais_names_and_excludes_the_cache() -> None:
    """LangChain's ChatBedrock: both cache counts are added to the input."""
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "cache_read_input_tokens": 40,
        "cache_write_input_tokens": 30,
    }
    assert read_usage({**usage, "total_tokens": 120})["prompt_tokens"] == 100


BEDROCK = {**ANTHROPIC, "gen_ai.provider.name": "aws.bedrock", "rpc.method": "Converse"}
SILENT = {key: value for key, value in BEDROCK.items() if "cache" not in key}


@pytest.mark.parametrize(
    ("scope", "version", "attributes", "prompt"),
    [
        ("opentelemetry.instrumentation.botocore", "0.51b0", SILENT, None),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "0.65b0", SILENT, None),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "0.66b2", SILENT, 100),
        (
            "opentelemetry.instrumentation.botocore.bedrock-runtime",
            "0.66b2",
            {**SILENT, "rpc.method": "InvokeModel"},
            None,
        ),
        ("opentelemetry.instrumentation.bedrock", "0.61.0", SILENT, None),
        ("opentelemetry.instrumentation.bedrock", "0.62.4", SILENT, 100),
        ("strands.telemetry.tracer", None, {**BEDROCK, "gen_ai.usage.total_tokens": 190}, 170),
        ("strands.telemetry.tracer", None, {**SILENT, "gen_ai.usage.total_tokens": 190}, 170),
        ("strands.telemetry.tracer", None, {**BEDROCK, "gen_ai.usage.total_tokens": 120}, 100),
    ],
)
def test_the_input_of_bedrock(scope: str, version: str | None, attributes: dict[str, Any], prompt: int | None) -> None:
    """Silence about the cache is none in some releases and unknown in others; a total that counts it tells the whole input."""
    assert fields(scope, attributes, version).get("prompt_tokens") == prompt


@pytest.mark.parametrize(
    ("version", "name", "total", "prompt"),
    [
        ("0.1.16", "bedrock.converse", 190, 170),
        ("0.1.23", "bedrock.invoke_model", 120, None),
        ("0.1.33", "bedrock.invoke_model", 120, 100),
        ("0.1.61", "bedrock.converse", 120, 100),
    ],
)
def test_openinference_on_bedrock(version: str, name: str, total: int, prompt: int | None) -> None:
    """Converse's total counts the cache where its input does not; InvokeModel's of 2025 was made of input and output."""
    attributes = {
        "openinference.span.kind": "LLM", "llm.provider": "aws", "llm.model_name": "us.anthropic.claude-sonnet-4-5-v1:0",
        "llm.token_count.prompt": 100, "llm.token_count.completion": 20, "llm.token_count.total": total,
    }  # fmt: skip
    assert (
        fields("openinference.instrumentation.bedrock", attributes, version, name=name).get("prompt_tokens") == prompt
    )


def test_tokens_guessed_from_text_are_an_estimate() -> None:
    """Cohere's and Mistral's answers to InvokeModel hold no counts."""
    attributes = {**SILENT, "rpc.method": "InvokeModel", "gen_ai.request.model": "mistral.mistral-large-2402-v1:0"}
    _, draft = read("opentelemetry.instrumentation.botocore.bedrock-runtime", attributes, "0.66b2")
    assert (draft.fields["prompt_tokens"], draft.doubt and draft.doubt.value) == (100, "estimated")


VERCEL = {
    "ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "amazon-bedrock", "ai.model.id": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 20,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "metadata", "prompt", "completion"),
    [
        ({}, {"bedrock": {"usage": {"cacheReadInputTokens": 40, "cacheWriteInputTokens": 30}}}, 100, 20),
        ({}, {"bedrock": {"usage": {"cacheWriteInputTokens": 30}}}, None, 20),
        (
            {"ai.model.provider": "anthropic"},
            {"anthropic": {"cacheReadInputTokens": 40, "cacheCreationInputTokens": 30}},
            100,
            20,
        ),
        (
            {"ai.model.provider": "google.generative-ai", "ai.model.id": "gemini-2.5-flash"},
            {
                "google": {
                    "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 20, "thoughtsTokenCount": 7}
                }
            },
            30,
            27,
        ),
        ({"ai.model.provider": "google.generative-ai", "ai.model.id": "gemini-2.5-flash"}, {"google": {}}, 30, None),
        ({"ai.model.provider": "google.generative-ai", "ai.model.id": "gemini-2.0-flash"}, {"google": {}}, 30, 20),
    ],
)
def test_the_vercel_sdk_before_6(
    changes: dict[str, str], metadata: dict[str, Any], prompt: int | None, completion: int | None
) -> None:
    """The providers' own meaning of input and output, made whole by what the metadata has; what it lacks is not known."""
    found = fields("ai", {**VERCEL, **changes, "ai.response.providerMetadata": json.dumps(metadata)})
    assert (found.get("prompt_tokens"), found.get("completion_tokens")) == (prompt, completion)


def test_an_id_that_the_vercel_sdk_made_up_is_none() -> None:
    """Where the provider's answer has none, it would keep two spans of one response apart."""
    assert "response_id" not in fields("ai", {**VERCEL, "ai.response.id": "aitxt-abc"})
    assert fields("ai", {**VERCEL, "ai.response.id": "msg_1"})["response_id"] == "msg_1"


def test_a_count_that_is_no_number_was_not_made() -> None:
    """JavaScript's NaN stands where a stream brought no usage: it is unknown, not a contradiction."""
    found = fields(
        "ai", {**VERCEL, "gen_ai.usage.input_tokens": float("nan"), "gen_ai.usage.output_tokens": float("nan")}
    )
    assert "usage_raw" not in found
    assert found.get("cost_status") is None


@pytest.mark.parametrize(("details", "prompt"), [("", 130), (", 'cache_creation_tokens': 30", 100)])
def test_the_input_of_litellm_before_its_newer_names(details: str, prompt: int) -> None:
    """Up to 1.7x it counts no cache writes; where the input's details name them, it does."""
    attributes = {
        "llm.request.type": "completion", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.system": "anthropic",
        "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 20,
        "metadata.usage_object": "{'prompt_tokens': 100, 'completion_tokens': 20, 'prompt_tokens_details': "
                                 f"{{'cached_tokens': 40{details}}}, 'cache_creation_input_tokens': 30}}",
    }  # fmt: skip
    assert fields("litellm", attributes)["prompt_tokens"] == prompt


def test_a_stream_that_litellm_counted_itself_is_an_estimate() -> None:
    """Where a stream brings no usage, LiteLLM counts tokens with a tokenizer: nothing says what was cached."""
    attributes = {**SEMCONV, "llm.is_streaming": "True", "gen_ai.usage.input_tokens": 9}
    _, draft = read("litellm", attributes)
    assert (draft.doubt and draft.doubt.value) == "estimated"


def test_adk_without_counts_beside_the_response() -> None:
    """The first releases of ADK say what was used in the response alone."""
    usage = {"prompt_token_count": 100, "candidates_token_count": 20, "total_token_count": 120}
    attributes = {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash",
                  "gcp.vertex.agent.llm_response": json.dumps({"usage_metadata": usage})}  # fmt: skip
    found = fields("gcp.vertex.agent", attributes, name="call_llm")
    assert (found["prompt_tokens"], found["completion_tokens"], found["provider"]) == (100, 20, "google")


def test_logfire_of_openai_agents() -> None:
    """The whole usage stands in an attribute of its own; a chat completion's served model is the requested one's name again."""
    usage = {"input_tokens": 2000, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 40}}
    attributes = {
        "logfire.span_type": "span", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini", "model_config": "{}",
        "gen_ai.response.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 2000, "gen_ai.usage.output_tokens": 20,
        "usage": json.dumps(usage),
    }  # fmt: skip
    found = fields("logfire.openai_agents", attributes)
    assert (found["provider"], found["cached_tokens"], found.get("snapshot")) == ("openai", 40, None)
    turn = {"logfire.span_type": "span", "gen_ai.system": "openai", "type": "custom", "usage": json.dumps(usage)}
    assert read("logfire.openai_agents", turn)[0] is Role.WRAPPER


@pytest.mark.parametrize(
    ("provider", "model", "want"),
    [
        ("google", "gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("aws", "bedrock/us.anthropic.claude-x", "us.anthropic.claude-x"),
        ("openrouter", "openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("groq", "meta-llama/llama-4", "meta-llama/llama-4"),
    ],
)
def test_litellms_prefix_is_no_part_of_a_name(provider: str, model: str, want: str) -> None:
    """Where the prefix is the provider under any of its names, it goes; a vendor's name in a model's stays."""
    attributes = {"openinference.span.kind": "LLM", "llm.provider": provider, "llm.model_name": model}
    assert fields("openinference.instrumentation.litellm", attributes)["model"] == want


def test_an_unknown_scope_with_a_long_prompt_of_openai() -> None:
    """OpenAI caches without being asked: where nothing counts that, the cost at the full rate is an estimate."""
    _, draft = read("some.unknown.scope", {**SEMCONV, "gen_ai.usage.input_tokens": 2000})
    assert (draft.doubt and draft.doubt.value) == "estimated"


def test_agentops_counts_no_cache() -> None:
    """Anthropic's input is not known, nor anything of its streams."""
    attributes = {"gen_ai.request.type": "chat", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.response.id": "msg_1",
                  "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 20}  # fmt: skip
    found = fields("anthropic", attributes, "2.11.0")
    assert (found["provider"], found.get("prompt_tokens"), found["completion_tokens"]) == ("anthropic", None, 20)
    assert "completion_tokens" not in fields("anthropic", {**attributes, "gen_ai.request.streaming": True}, "2.11.0")


def test_openinference_that_tells_requested_and_served_apart() -> None:
    """Where the requested model has an attribute of its own, the served one does too, or no answer was read."""
    attributes = {"openinference.span.kind": "LLM", "llm.provider": "anthropic", "llm.model_name": "claude-sonnet-4-5",
                  "llm.request.model_name": "claude-sonnet-4-5"}  # fmt: skip
    found = fields("openinference.instrumentation.anthropic", attributes, "3.1.0")
    assert (found["model"], found.get("snapshot")) == ("claude-sonnet-4-5", None)


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        ("agent_framework", {}),
        ("semantic_kernel.utils.telemetry", {}),
        (
            "logfire.openai_agents",
            {"usage": '{"input_tokens": 2000, "output_tokens": 20}', "logfire.span_type": "span"},
        ),
        ("langsmith", {"langsmith.span.kind": "llm"}),
    ],
)
def test_frameworks_that_hand_on_totals_alone(scope: str, more: dict[str, Any]) -> None:
    """What was cached of a long prompt is not said: the cost at the full rate is an estimate."""
    _, draft = read(scope, {**SEMCONV, "gen_ai.usage.input_tokens": 2000, **more})
    assert (draft.fields["prompt_tokens"], draft.doubt and draft.doubt.value) == (2000, "estimated")


def test_langtrace_hands_on_anthropics_own_input() -> None:
    """It counts nothing of the cache: the input is not known."""
    attributes = {key: value for key, value in ANTHROPIC.items() if "cache" not in key}
    found = fields("langtrace_python_sdk.instrumentation.anthropic.instrumentation", attributes, "3.8.21")
    assert (found.get("prompt_tokens"), found["completion_tokens"]) == (None, 20)


def test_nobody_knows_what_an_unknown_scope_means_by_anthropics_input() -> None:
    """Without cache counts it may be whole, or Anthropic's own; a call that failed has nothing to doubt."""
    attributes = {key: value for key, value in ANTHROPIC.items() if "cache" not in key}
    _, draft = read("some.unknown.scope", attributes)
    assert (draft.doubt and draft.doubt.value) == "estimated"
    _, draft = read("some.unknown.scope", {key: value for key, value in attributes.items() if "usage" not in key})
    assert draft.doubt is None
