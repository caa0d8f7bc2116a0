"""OpenTelemetry's own semantic conventions for generative AI, past and present; the ground that other dialects stand on.

Written by opentelemetry-instrumentation-genai-*, -openai-v2, opentelemetry-util-genai, xai-sdk and any app that follows the
conventions. Input includes cached tokens unless a rule says otherwise.
"""

from __future__ import annotations

from spectra_otel.dialects._base import CALL, Dialect, Draft, From, Role, Rule
from spectra_otel.dialects._convert import first, seconds
from spectra_otel.dialects._fixes import (
    bedrock_input_lacks_cache,
    convention_is_unknown,
    input_excludes_cache,
    no_cache_counts,
)

OPERATIONS: dict[str, tuple[Role, str]] = {
    "chat": (Role.CALL, "text"), "text_completion": (Role.CALL, "text"), "generate_content": (Role.CALL, "text"),
    "completion": (Role.CALL, "text"), "completions": (Role.CALL, "text"), "responses": (Role.CALL, "text"),
    "response": (Role.CALL, "text"), "message": (Role.CALL, "text"), "messages": (Role.CALL, "text"),
    "generate": (Role.CALL, "text"), "stream_chat": (Role.CALL, "text"), "acompletion": (Role.CALL, "text"),
    "embeddings": (Role.CALL, "embedding"), "embedding": (Role.CALL, "embedding"), "aembedding": (Role.CALL, "embedding"),
    "llm_call": (Role.CALL, "text"),
    "chat.completions": (Role.CALL, "text"), "chat.streaming_completions": (Role.CALL, "text"),
    "text.completions": (Role.CALL, "text"), "text.streaming_completions": (Role.CALL, "text"),
    "image_generation": (Role.CALL, "image"), "generate_images": (Role.CALL, "image"), "image": (Role.CALL, "image"),
    "video_generation": (Role.CALL, "video"), "text_to_speech": (Role.CALL, "tts"), "speech": (Role.CALL, "tts"),
    "audio": (Role.CALL, "tts"), "speech_to_text": (Role.CALL, "stt"), "transcription": (Role.CALL, "stt"),
    "rerank": (Role.CALL, "rerank"), "moderation": (Role.CALL, "moderation"), "ocr": (Role.CALL, "ocr"),
    "invoke_agent": (Role.WRAPPER, ""), "create_agent": (Role.WRAPPER, ""), "invoke_workflow": (Role.WRAPPER, ""),
    "workflow": (Role.WRAPPER, ""), "chain": (Role.WRAPPER, ""), "agent": (Role.WRAPPER, ""), "plan": (Role.WRAPPER, ""),
    "execute_task": (Role.WRAPPER, ""), "task": (Role.WRAPPER, ""), "execute_event_loop_cycle": (Role.WRAPPER, ""),
    "execute_tool": (Role.OTHER, ""), "retrieval": (Role.OTHER, ""), "vectordb": (Role.OTHER, ""), "tool": (Role.OTHER, ""),
}  # fmt: skip
"""`gen_ai.operation.name` → what the span stands for, and the model type of a call."""

_SPELLINGS = {
    "embedding": "embeddings", "aembedding": "embeddings", "llm_call": "chat", "acompletion": "chat", "chat.completions": "chat",
    "chat.streaming_completions": "chat", "text.completions": "text_completion", "text.streaming_completions": "text_completion",
}  # fmt: skip
_WRAPPER_KEYS = ("gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.workflow.name", "gen_ai.tool.name")


def role(draft: Draft) -> Role:
    """By operation name; without one, a span with a model and an answer or its usage is a call."""
    fields = draft.fields
    operation = fields.get("operation")
    if operation is None:
        return role_without_operation(draft)
    known = OPERATIONS.get(operation) or OPERATIONS.get(operation.lower())
    if known is None:
        return role_without_operation(draft)
    found, model_type = known
    if found is CALL:
        if operation in _SPELLINGS or operation not in OPERATIONS:
            fields["operation"] = _SPELLINGS.get(operation.lower(), operation.lower())
        fields.setdefault("model_type", model_type)
    return found


def role_without_operation(draft: Draft) -> Role:
    """A call knows a model and what came of it. Names of agents and tools make it a wrapper."""
    fields = draft.fields
    has_usage = "prompt_tokens" in fields or "completion_tokens" in fields
    if any(key in draft.attributes for key in _WRAPPER_KEYS):
        return Role.WRAPPER if has_usage else Role.OTHER
    if ("model" in fields or "snapshot" in fields) and (
        has_usage or "response_id" in fields or "finish_reason" in fields
    ):
        return Role.CALL
    return Role.WRAPPER if has_usage else Role.OTHER


FIELDS: dict[str, tuple[str | From, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "gen_ai.model.provider"),
    "operation": ("gen_ai.operation.name",),
    "model": ("gen_ai.request.model", "llm.request.model"),
    "snapshot": ("gen_ai.response.model", "llm.response.model"),
    "response_id": ("gen_ai.response.id",),
    "finish_reason": (From("gen_ai.response.finish_reasons", first), From("gen_ai.response.finish_reason", first)),
    "is_streaming": ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming", "gen_ai.request.is_stream"),
    "prompt_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.response.prompt_tokens",
        "llm.usage.prompt_tokens",
    ),
    "completion_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.response.completion_tokens",
        "llm.usage.completion_tokens",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_input_tokens",
        "gen_ai.usage.input_cached_tokens",
        "gen_ai.usage.cached_prompt_text_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.thinking_tokens",
    ),
    "audio_prompt_tokens": (
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.input_audio_tokens",
        "gen_ai.usage.audio_input_tokens",
    ),
    "audio_completion_tokens": (
        "gen_ai.usage.audio.output_tokens",
        "gen_ai.usage.output_audio_tokens",
        "gen_ai.usage.audio_output_tokens",
    ),
    "image_completion_tokens": ("gen_ai.usage.output_image_tokens",),
    "time_to_first_token_ms": (
        From("gen_ai.response.time_to_first_chunk", seconds),
        From("gen_ai.server.time_to_first_token", seconds),
    ),
    "pricing_tier": ("spectra.pricing_tier", "openai.response.service_tier", "gen_ai.openai.response.service_tier",
                     "gen_ai.response.service_tier"),
    "requested_tier": ("openai.request.service_tier", "gen_ai.openai.request.service_tier", "gen_ai.request.service_tier"),
    "host": ("server.address", "url.full", "http.url"),
}  # fmt: skip


def reasoning_beside(draft: Draft) -> None:
    """xAI counts reasoning beside the output; the total tells whether it did."""
    fields = draft.fields
    prompt, completion, reasoning = (
        fields.get(name) or 0 for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens")
    )
    if reasoning and fields.get("total_tokens") == prompt + completion + reasoning:
        fields["completion_tokens"] = completion + reasoning


SCOPES = (
    "opentelemetry.instrumentation.genai", "opentelemetry.instrumentation.openai_v2", "opentelemetry.util.genai",
    "@opentelemetry/instrumentation-aws-sdk", "xai", "xai_sdk",
)  # fmt: skip
DIALECT = Dialect(
    name="semconv",
    scopes=SCOPES,
    keys=("gen_ai.", "llm.usage."),
    role=role,
    fields=FIELDS,
    rules=(
        Rule("opentelemetry.instrumentation.genai.bedrock", (input_excludes_cache,)),
        Rule("opentelemetry.instrumentation.openai_v2", (no_cache_counts,)),
        Rule("opentelemetry.util.genai.handler", (no_cache_counts,)),
        Rule("opentelemetry.instrumentation.botocore", (bedrock_input_lacks_cache,)),  # its scope before 0.54
        Rule("@opentelemetry/instrumentation-aws-sdk", (bedrock_input_lacks_cache,)),
        Rule("xai_sdk", (reasoning_beside,)),
        Rule("", (convention_is_unknown,), outside=SCOPES),  # whose numbers nobody has checked
    ),
)  # fmt: skip
