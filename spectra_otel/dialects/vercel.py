"""Vercel's AI SDK: `ai.*` with `gen_ai.*` beside it in 5 and 6 (scope `ai`), semantic conventions from 7 on (scope `gen_ai`).

`ai.generateText` and the like wrap a `.doGenerate`, `.doStream` or `.doEmbed`, which is the call. 5 hands on the provider's own
meaning: input of Anthropic and Bedrock excludes cached tokens, output of Google excludes thoughts. 6 splits input into parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import first, milliseconds, present, seconds
from spectra_otel.dialects._fixes import (
    EXCLUSIVE,
    bedrock_input_lacks_cache,
    input_excludes_cache,
    no_cache_counts,
    output_excludes_reasoning,
)
from spectra_otel.dialects._usage import read_usage, take_usage

CALLS = {"doGenerate": ("text", "chat"), "doStream": ("text", "chat"), "doEmbed": ("embedding", "embeddings"),
         "doRerank": ("rerank", "rerank")}  # fmt: skip
"""Last part of `ai.operationId` → model type and operation."""

_PARTS = ("ai.usage.inputTokenDetails.noCacheTokens", "ai.usage.inputTokenDetails.cacheReadTokens")


def role(draft: Draft) -> Role:
    """By `ai.operationId`; 7 has operation names."""
    operation = str(draft.attributes.get("ai.operationId", ""))
    if not operation:
        return semconv.role(draft)
    last = operation.rpartition(".")[2]
    if last in CALLS:
        draft.fields["model_type"], draft.fields["operation"] = CALLS[last]
        if last == "doStream":
            draft.fields["is_streaming"] = True
        return Role.CALL
    return Role.OTHER if last == "toolCall" else Role.WRAPPER


def provider_metadata(draft: Draft, found: Any) -> None:
    """What is nowhere else in 4 and 5: of Anthropic and Bedrock the cached tokens, of Google the whole usage object."""
    for metadata in found.values() if isinstance(found, Mapping) else ():
        if isinstance(metadata, Mapping) and not take_usage(draft, metadata.get("usageMetadata")):
            raw = metadata.get("usage")
            usage = read_usage(raw)
            for counts in (metadata, raw if isinstance(raw, Mapping) else {}):
                draft.give("cached_tokens", counts.get("cacheReadInputTokens"))
                draft.give("cache_write_tokens", counts.get("cacheWriteInputTokens"))
            for field in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"):
                draft.give(field, usage.get(field))
            draft.give("cache_write_tokens", metadata.get("cacheCreationInputTokens"))


def own_ids(draft: Draft) -> None:
    """Where the provider's answer has no id, the SDK makes one up."""
    if str(draft.fields.get("response_id")).startswith(("aitxt-", "aiobj-")):
        draft.drop("response_id")


def before_6(draft: Draft) -> None:
    """4 and 5 have no parts of the input: what input and output mean depends on the provider."""
    fields = draft.fields
    if any(key in draft.attributes for key in _PARTS) or "ai.operationId" not in draft.attributes:
        return
    provider = fields.get("provider")
    if provider == "bedrock" and "cached_tokens" not in fields:
        bedrock_input_lacks_cache(draft)
    is_google = provider in ("google", "vertex")
    if provider in EXCLUSIVE or (is_google and "claude" in fields.get("model", "")):  # Vertex sells Anthropic's, too
        input_excludes_cache(draft)
        return
    if is_google:
        output_excludes_reasoning(draft)
    no_cache_counts(draft)


DIALECT = Dialect(
    name="vercel",
    scopes=("ai", "gen_ai"),
    keys=("ai.operationId", "ai.model."),
    role=role,
    fields={
        **semconv.FIELDS,
        "provider": ("gen_ai.provider.name", "gen_ai.system", "ai.model.provider"),
        "model": ("gen_ai.request.model", "ai.model.id"),
        "snapshot": ("gen_ai.response.model", "ai.response.model"),
        "response_id": ("gen_ai.response.id", "ai.response.id"),
        "finish_reason": (From("gen_ai.response.finish_reasons", first), "ai.response.finishReason"),
        "prompt_tokens": ("gen_ai.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "completion_tokens": ("gen_ai.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total_tokens": ("ai.usage.totalTokens",),
        "cached_tokens": (
            *semconv.FIELDS["cached_tokens"], "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens",
        ),
        "cache_write_tokens": (*semconv.FIELDS["cache_write_tokens"], "ai.usage.inputTokenDetails.cacheWriteTokens"),
        "reasoning_tokens": (
            *semconv.FIELDS["reasoning_tokens"], "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens",
        ),
        "is_streaming": ("gen_ai.request.stream", From("gen_ai.client.operation.time_to_first_chunk", present)),
        "time_to_first_token_ms": (
            From("ai.response.msToFirstChunk", milliseconds),
            From("gen_ai.client.operation.time_to_first_chunk", seconds),
        ),
        "user_id": ("user.id", "enduser.id", "ai.telemetry.metadata.userId"),
        "conversation_id": ("gen_ai.conversation.id", "session.id", "ai.telemetry.metadata.sessionId"),
    },
    texts=(Text("ai.response.providerMetadata", provider_metadata),),
    names=(Rule("", (own_ids,)),),
    rules=(Rule("", (before_6,)),),
)  # fmt: skip
