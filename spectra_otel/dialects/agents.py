"""Agent frameworks with spans of their own on the semantic conventions: Microsoft's Agent Framework and Semantic Kernel, Strands.

Their agents repeat the usage of the calls below under the same names.
"""

from __future__ import annotations

from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Doubt, Draft, From, Rule
from spectra_otel.dialects._convert import enum_name, first, milliseconds, parsed, text
from spectra_otel.dialects._fixes import input_short_of_total, no_cache_counts

_EARLY = 0.8
"""Part of a call before which a first token is early."""
_STRANDS_EVENTS = ("gen_ai.choice", "gen_ai.client.inference.operation.details")


def strands_choice(draft: Draft) -> None:
    """Strands tells the finish reason in an event, and streams whenever it measured the first token.

    Of Bedrock it makes events of a whole answer too: there, a first token long before the end is what tells a stream.
    """
    if "gen_ai.server.time_to_first_token" in draft.attributes:
        first_ms, duration_ms = draft.fields.get("time_to_first_token_ms", 0), _duration_ms(draft)
        if draft.fields.get("provider") != "bedrock" or first_ms < duration_ms * _EARLY:
            draft.give("is_streaming", True)
    for event in draft.span.events:
        if event.name in _STRANDS_EVENTS and event.attributes:
            draft.give("finish_reason", event.attributes.get("finish_reason"))
            draft.give("finish_reason", _reason_in(parsed(event.attributes.get("gen_ai.output.messages"))))


def strands_anthropic(draft: Draft) -> None:
    """Older releases count no cached tokens at all, newer ones none where there were none; no version tells which it was."""
    if "prompt_tokens" in draft.fields and "cached_tokens" not in draft.fields:
        draft.settle_for(Doubt.PARTIAL)


def _duration_ms(draft: Draft) -> float:
    return ((draft.span.end_time or 0) - (draft.span.start_time or 0)) / 1e6


def _reason_in(messages: Any) -> str | None:
    """The finish reason of the last message, as the newer conventions have it."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return text(last.get("finish_reason")) if isinstance(last, dict) else None


def kernel_reason(value: Any) -> str | None:
    """Semantic Kernel writes the name of its enum, `FinishReason.TOOL_CALLS`, for what the provider calls `tool_calls`."""
    found = enum_name(value)
    return found.lower() if found else None


DIALECT = Dialect(
    name="agents",
    scopes=("agent_framework", "semantic_kernel", "strands"),
    role=semconv.role,
    fields={
        **semconv.FIELDS,
        "finish_reason": (
            From("gen_ai.response.finish_reasons", first),
            From("gen_ai.response.finish_reason", kernel_reason),
        ),
        "time_to_first_token_ms": (From("gen_ai.server.time_to_first_token", milliseconds),),
    },
    rules=(
        Rule("strands", (input_short_of_total,), providers=frozenset({"bedrock"})),
        Rule("", (no_cache_counts,), providers=frozenset({"openai", "azure"})),
        Rule("strands", (strands_anthropic,), providers=frozenset({"anthropic"})),
        Rule("strands", (strands_choice,)),
        Rule("semantic_kernel", (no_cache_counts,)),
    ),
)
