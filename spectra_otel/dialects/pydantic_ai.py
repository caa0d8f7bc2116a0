"""pydantic-ai. Its agent span is `invoke_agent` with keys of its own since 2, and `agent run` with the leaf's own keys before.

Before 1, a stream names the requested model as the served one, and Anthropic's counts the output of the opening event twice.
Before 1.40, input of Bedrock counts no cached tokens; before 1.31 nothing else does either.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Doubt, Draft, From, Role, Rule
from spectra_otel.dialects._convert import present, seconds
from spectra_otel.dialects._fixes import (
    bedrock_input_lacks_cache,
    input_excludes_cache,
    no_cache_counts,
    output_excludes_counted_reasoning,
)


def role(draft: Draft) -> Role:
    """Only a span with the operation of a call is one: `agent run` of 1.0 has usage and no operation."""
    return semconv.role(draft) if "operation" in draft.fields else Role.WRAPPER


def streamed_before_1(draft: Draft) -> None:
    """That both names of the model are one is all that tells a stream."""
    if draft.fields.get("snapshot") == draft.fields.get("model"):
        draft.drop("snapshot")
        if draft.fields.get("provider") == "anthropic" and "completion_tokens" in draft.fields:
            draft.settle_for(Doubt.ESTIMATED)


BEDROCK, GOOGLE = frozenset({"bedrock"}), frozenset({"google", "vertex"})
DIALECT = Dialect(
    name="pydantic_ai",
    scopes=("pydantic-ai", "pydantic_ai"),
    role=role,
    fields={
        **semconv.FIELDS,
        "cached_tokens": (
            *semconv.FIELDS["cached_tokens"],
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "gen_ai.usage.details.cached_content_tokens",
            "gen_ai.usage.details.text_cache_tokens",
        ),
        "cache_write_tokens": (
            *semconv.FIELDS["cache_write_tokens"],
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
        ),
        "reasoning_tokens": (
            *semconv.FIELDS["reasoning_tokens"],
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.details.thoughts_tokens",
        ),
        "is_streaming": ("gen_ai.request.stream", From("gen_ai.client.operation.time_to_first_chunk", present)),
        "time_to_first_token_ms": (From("gen_ai.client.operation.time_to_first_chunk", seconds),),
    },
    rules=(
        Rule("", (streamed_before_1,), below="1"),
        Rule("", (output_excludes_counted_reasoning,), below="0.7.5", providers=GOOGLE),
        Rule("", (bedrock_input_lacks_cache,), below="1.31", providers=BEDROCK),
        Rule("", (input_excludes_cache,), since="1.31", below="1.40", providers=BEDROCK),
        Rule("", (no_cache_counts,), below="2", providers=frozenset({"openai", "azure", "groq", "mistral"})),
    ),
)
