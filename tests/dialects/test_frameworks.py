"""Frameworks and command lines whose names, or whose meaning of the numbers, are their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spectra_otel.dialects._base import Role
from spectra_otel.model.spans import TrackedSpan, record_of
from spectra_otel.processors.usage.processor import UsageProcessor
from tests.dialects.reading import ANTHROPIC, SEMCONV, fields, read
from tests.made_spans import made

GEMINI = {**SEMCONV, "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5-flash"}


def test_speech_tokens_are_told_apart() -> None:
    """Audio costs many times what text does: each spelling of its counts is read."""
    livekit = {"gen_ai.usage.input_audio_tokens": 90, "gen_ai.usage.output_audio_tokens": 15,
               "gen_ai.usage.input_cached_tokens": 40}  # fmt: skip
    pipecat = {"gen_ai.usage.audio.input_tokens": 90, "gen_ai.usage.audio.output_tokens": 15}
    for more in (livekit, pipecat, {"gen_ai.usage.audio_input_tokens": 90, "gen_ai.usage.audio_output_tokens": 15}):
        found = fields("some.scope", {**SEMCONV, "gen_ai.request.model": "gpt-realtime", **more})
        assert (found["audio_prompt_tokens"], found["audio_completion_tokens"]) == (90, 15)
    assert fields("livekit-agents", {**SEMCONV, **livekit})["cached_tokens"] == 40


def test_pipecat_counts_as_the_provider_does() -> None:
    """Anthropic's input lacks the cache and Gemini's output its thoughts; speech is counted in characters or seconds."""
    assert fields("pipecat", ANTHROPIC)["prompt_tokens"] == 170
    thoughts = {**GEMINI, "gen_ai.usage.reasoning.output_tokens": 7}
    assert fields("pipecat", thoughts)["completion_tokens"] == 27
    speech = {"gen_ai.provider.name": "elevenlabs", "gen_ai.request.model": "eleven_flash_v2_5", "metrics.ttfb": 0.2}
    found = fields("pipecat", {**speech, "gen_ai.operation.name": "tts", "metrics.character_count": 120})
    assert (found["model_type"], found["input_characters"], found["time_to_first_token_ms"]) == ("tts", 120, 200)
    found = fields("pipecat", {**speech, "gen_ai.operation.name": "stt", "metrics.audio_seconds": 2.5})
    assert (found["model_type"], found["duration_seconds"]) == ("stt", 2.5)


def test_livekit_measures_beside_the_conventions() -> None:
    """Its own metrics have the cache writes, the total that tells Gemini's thoughts, and the characters spoken."""
    metrics = {"ttft": 0.3, "total_tokens": 130, "cache_creation_tokens": 30}
    found = fields("livekit-agents", {**GEMINI, "lk.llm_metrics": json.dumps(metrics | {"cache_creation_tokens": 0})})
    assert (found["completion_tokens"], found["reasoning_tokens"], found["time_to_first_token_ms"]) == (30, 10, 300)
    silent = {key: value for key, value in ANTHROPIC.items() if "cache_creation" not in key}
    found = fields("livekit-agents", {**silent, "lk.llm_metrics": json.dumps(metrics)})
    assert (found["prompt_tokens"], found["cache_write_tokens"]) == (100, 30)
    spoken = {"characters_count": 50, "metadata": {"model_name": "tts-1", "model_provider": "api.openai.com"}}
    found = fields("livekit-agents", {"lk.tts_metrics": json.dumps(spoken)})
    assert (found["model_type"], found["input_characters"], found["provider"]) == ("tts", 50, "openai")


@pytest.mark.parametrize(
    ("name", "provider"), [("api.groq.com", "groq"), ("api.openai.com:443", "openai"), ("127.0.0.1:8080", "openai")]
)
def test_a_host_may_stand_for_a_name(name: str, provider: str) -> None:
    """It is known by the table of hosts; one that nobody knows leaves the word to the model."""
    assert fields("some.scope", {**SEMCONV, "gen_ai.provider.name": name})["provider"] == provider


def test_ag2_counts_as_the_provider_does() -> None:
    """Anthropic's input lacks the cache; a sub-task's account repeats its calls, that of a compaction is one."""
    scope, older = "opentelemetry.instrumentation.ag2", {"gen_ai.usage.thinking_tokens": 7}
    assert fields(scope, {**ANTHROPIC, **older})["prompt_tokens"] == 170
    assert fields(scope, {**GEMINI, **older})["completion_tokens"] == 27
    account = {key: value for key, value in SEMCONV.items() if key != "gen_ai.operation.name"}
    assert read(scope, {**account, "ag2.usage.kind": "subtask"})[0] is Role.WRAPPER
    assert read(scope, {**account, "ag2.usage.kind": "compaction"})[0] is Role.CALL


AZURE = {
    "az.namespace": "Microsoft.CognitiveServices", "gen_ai.provider.name": "microsoft.foundry",
    "server.address": "mine.services.ai.azure.com", "gen_ai.agent.id": "a1", "gen_ai.response.model": "gpt-4o-mini",
}  # fmt: skip
USED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}


def test_an_agent_that_runs_at_azure_is_a_call() -> None:
    """No span tells of the calls below it; before its usage is known there is nothing to record."""
    found = fields(
        "azure.core", {**AZURE, "gen_ai.operation.name": "invoke_agent", "gen_ai.response.id": "resp_1", **USED}
    )
    assert (found["provider"], found["prompt_tokens"], found["response_id"]) == ("azure", 100, "resp_1")
    assert read("azure.core", {**AZURE, "gen_ai.operation.name": "start_thread_run"})[0] is Role.WRAPPER
    assert read("azure.core", {**AZURE, "gen_ai.operation.name": "create_agent", **USED})[0] is Role.WRAPPER


def test_a_run_at_azure_is_recorded_once() -> None:
    """The run and the poll within it say the same; an SDK's own span beneath an agent's is that agent's call."""
    run = {**AZURE, **USED, "gen_ai.thread.run.id": "run_1"}
    outer = made("azure.core", {**run, "gen_ai.operation.name": "process_thread_run"})
    poll = made("azure.core", {**run, "gen_ai.operation.name": "get_thread_run"}, parent=outer, start=20, end=80)
    agent = made("azure.core", {**AZURE, **USED, "gen_ai.operation.name": "invoke_agent"}, start=200, end=300)
    call = made("opentelemetry.instrumentation.openai_v2", SEMCONV, parent=agent, start=210, end=290)
    done = UsageProcessor().process([poll, outer, call, agent])
    assert [record_of(span) is not None for span in done] == [True, False, True, False]
    assert all(isinstance(span, TrackedSpan) for span in done)


CLAUDE_CODE = {
    "span.type": "llm_request", "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-opus-4-5", "session.id": "s1",
    "input_tokens": 2, "output_tokens": 20, "cache_read_tokens": 400, "cache_creation_tokens": 70, "success": True,
    "stop_reason": "tool_use", "ttft_ms": 1200, "gen_ai.response.id": "req_1", "attempt": 2,
}  # fmt: skip


def test_claude_code_has_counts_of_its_own() -> None:
    """Input lacks what was read from the cache or written to it; the id is the request's, not the response's."""
    found = fields("com.anthropic.claude_code.tracing", CLAUDE_CODE, name="claude_code.llm_request")
    assert (found["prompt_tokens"], found["cached_tokens"], found["cache_write_tokens"]) == (472, 400, 70)
    assert (found["completion_tokens"], found["finish_reason"], found["attempt"]) == (20, "tool_use", 2)
    assert "response_id" not in found
    failed = {"span.type": "llm_request", "gen_ai.request.model": "claude-opus-4-5", "success": False, "status_code": 529,
              "error": "overloaded"}  # fmt: skip
    found = fields("com.anthropic.claude_code.tracing", failed)
    assert (found["is_failed"], found["status_code"], found["error_message"]) == (True, 529, "overloaded")
    assert fields("com.anthropic.claude_code.tracing", {**CLAUDE_CODE, "speed": "fast"})["pricing_tier"] == "fast"
    assert read("com.anthropic.claude_code.tracing", {"span.type": "tool", "tool_name": "Bash"})[0] is Role.OTHER


def test_the_gemini_cli_names_itself_as_an_agent_on_every_span() -> None:
    """`llm_call` is a call all the same; its output counts no thoughts, and nothing tells how many there were."""
    attributes = {**GEMINI, "gen_ai.operation.name": "llm_call", "gen_ai.agent.name": "gemini-cli"}
    _, draft = read("gemini-cli", attributes)
    assert (draft.fields["prompt_tokens"], draft.fields.get("completion_tokens")) == (100, None)
    assert (draft.fields["operation"], draft.doubt and draft.doubt.value) == ("chat", "partial")


def genkit(name: str, output: dict[str, Any], kind: str = "model") -> dict[str, Any]:
    return {
        "genkit:type": "action",
        "genkit:metadata:subtype": kind,
        "genkit:name": name,
        "genkit:output": json.dumps(output),
    }


def test_genkit_keeps_the_providers_own_response() -> None:
    """Where it is there, it is read as what it is; else Genkit's own counts, made whole."""
    raw = {"responseId": "g1", "modelVersion": "gemini-2.5-flash",
           "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 7,
                             "cachedContentTokenCount": 40}}  # fmt: skip
    found = fields("genkit-tracer", genkit("googleai/gemini-2.5-flash", {"custom": raw, "finishReason": "stop"}))
    assert (found["prompt_tokens"], found["cached_tokens"], found["completion_tokens"]) == (100, 40, 27)
    assert (found["provider"], found["model"], found["response_id"]) == ("google", "gemini-2.5-flash", "g1")
    counts = {"inputTokens": 100, "outputTokens": 20, "thoughtsTokens": 7, "totalTokens": 127}
    found = fields("genkit-tracer", genkit("vertexai/gemini-2.5-flash", {"usage": counts}))
    assert (found["provider"], found["completion_tokens"], found["reasoning_tokens"]) == ("vertex", 27, 7)
    own = {"inputTokens": 30, "outputTokens": 20,
           "custom": {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 30}}  # fmt: skip
    assert fields("genkit-tracer", genkit("anthropic/claude-sonnet-4-5", {"usage": own}))["prompt_tokens"] == 100
    assert read("genkit-tracer", genkit("flow", {"usage": own}, kind="flow"))[0] is Role.OTHER


def test_prompt_flow_computes_what_a_flow_used() -> None:
    """A call's inputs and output are its request and response; what was summed for a flow is a roll-up."""
    counts = {"llm.usage.prompt_tokens": 100, "llm.usage.completion_tokens": 20,
              "__computed__.cumulative_token_count.total": 120}  # fmt: skip
    attributes = {"span_type": "LLM", "inputs": '{"model": "gpt-4o-mini"}', "output": '{"id": "chatcmpl-1"}', **counts}
    found = fields("promptflow", {**attributes, "llm.response.model": "gpt-4o-mini-2024-07-18"})
    assert (found["model"], found["snapshot"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (found["prompt_tokens"], found["completion_tokens"], found["response_id"]) == (100, 20, "chatcmpl-1")
    _, draft = read("promptflow", {**attributes, "output_type": "iterated"})
    assert (draft.fields["is_streaming"], draft.doubt and draft.doubt.value) == (True, "estimated")
    assert (
        read("promptflow", {"span_type": "Flow", "__computed__.cumulative_token_count.total": 120})[0] is Role.WRAPPER
    )


def test_openinference_of_other_languages() -> None:
    """JavaScript hands on Anthropic's own input of a stream, which is no whole one; a gateway names cache writes its own way."""
    oi = {"openinference.span.kind": "LLM", "llm.provider": "anthropic", "llm.model_name": "claude-sonnet-4-5",
          "llm.token_count.prompt": 100, "llm.token_count.completion": 20}  # fmt: skip
    assert "prompt_tokens" not in fields("@arizeai/openinference-instrumentation-anthropic", oi)
    found = fields("envoyproxy/ai-gateway", {**oi, "llm.token_count.prompt_details.cache_creation": 30})
    assert (found["prompt_tokens"], found["cache_write_tokens"]) == (100, 30)
    _, draft = read("some.other.tracer", oi)
    assert (draft.doubt and draft.doubt.value) == "estimated"


def test_haystack_keeps_usage_in_its_output() -> None:
    """A generator's reply and an embedder's vectors have it in their `meta`; without content there is nothing to read."""
    meta = {"model": "gpt-4o-mini-2024-07-18", "finish_reason": "stop",
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 40}}}  # fmt: skip
    generator = {"haystack.component.type": "OpenAIChatGenerator"}
    for replies in ({"replies": [{"role": "assistant", "meta": meta}]}, {"replies": ["Hi"], "meta": [meta]}):
        found = fields("haystack", {**generator, "haystack.component.output": json.dumps(replies)})
        assert (found["prompt_tokens"], found["cached_tokens"], found["finish_reason"]) == (100, 40, "stop")
        assert (found["provider"], found["snapshot"]) == ("openai", "gpt-4o-mini-2024-07-18")
    vectors = {
        "embedding": [0.1],
        "meta": {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 9, "total_tokens": 9}},
    }
    embedder = {"haystack.component.type": "OpenAITextEmbedder", "haystack.component.output": json.dumps(vectors)}
    assert (fields("haystack", embedder)["model_type"], fields("haystack", embedder)["prompt_tokens"]) == (
        "embedding",
        9,
    )
    assert read("haystack", generator)[0] is Role.OTHER


def test_codex_sums_a_turn() -> None:
    """Responses name no model: the turn that does is the call, but for `codex exec`, which may have none."""
    turn = {"model": "gpt-5-codex", "conversation.id": "c1", "codex.turn.token_usage.input_tokens": 100,
            "codex.turn.token_usage.cached_input_tokens": 40, "codex.turn.token_usage.output_tokens": 20,
            "codex.turn.token_usage.reasoning_output_tokens": 5}  # fmt: skip
    response = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.output_tokens": 20,
    }
    _, draft = read("codex_cli_rs", turn, name="session_task.turn")
    found = draft.fields
    assert (found["provider"], found["model"], found["conversation_id"]) == ("openai", "gpt-5-codex", "c1")
    assert (found["prompt_tokens"], found["cached_tokens"], found["reasoning_tokens"]) == (100, 40, 5)
    assert (draft.doubt and draft.doubt.value) == "estimated"
    assert read("codex_cli_rs", response, name="handle_responses")[0] is Role.WRAPPER
    assert read("codex_exec", turn, name="session_task.turn")[0] is Role.WRAPPER
    assert fields("codex_exec", response, name="handle_responses")["prompt_tokens"] == 100
    assert read("codex_cli_rs", {"tool_name": "shell"}, name="handle_responses")[0] is Role.OTHER


def test_names_that_apps_and_gateways_chose() -> None:
    """Before there were conventions, and beside them: `llm.usage.*`, Cloudflare's provider, an operation in capitals."""
    older = {"llm.request.model": "gpt-4o-mini", "llm.response.model": "gpt-4o-mini-2024-07-18",
             "llm.usage.prompt_tokens": 100, "llm.usage.completion_tokens": 20}  # fmt: skip
    found = fields("my.app", older)
    assert (found["provider"], found["prompt_tokens"], found["snapshot"]) == ("openai", 100, "gpt-4o-mini-2024-07-18")
    gateway = {"gen_ai.request.model": "llama-4", "gen_ai.model.provider": "groq", "gen_ai.usage.output_tokens": 20}
    assert fields("ai-gateway", gateway)["provider"] == "groq"
    assert fields("my.app", {**SEMCONV, "gen_ai.operation.name": "Chat"})["operation"] == "chat"


def test_an_app_may_be_called_after_what_it_does() -> None:
    """Its tracer is not Vercel's or AgentOps': what they get wrong, it does not."""
    streamed = {**ANTHROPIC, "gen_ai.request.stream": True}
    assert fields("anthropic-backend", streamed)["prompt_tokens"] == 100
    assert "prompt_tokens" not in fields("anthropic", streamed)
