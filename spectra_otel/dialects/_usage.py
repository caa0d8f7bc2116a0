"""Usage objects of providers and frameworks, as some instrumentations keep them whole, to record fields.

Which convention an object follows is told by its keys: each provider has its own names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spectra_otel.dialects._base import Draft
from spectra_otel.dialects._convert import MAX_COUNT
from spectra_otel.providers.wire import usage
from spectra_otel.providers.wire.usage import Beside, Convention

Fields = dict[str, Any]

_LANGCHAIN: Convention = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_token_details": {
        "cache_read": "cached_tokens",
        "cache_creation": "cache_write_tokens",
        "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
        "audio": "audio_prompt_tokens",
    },
    "output_token_details": {"reasoning": "reasoning_tokens", "audio": "audio_completion_tokens"},
}
"""LangChain's `usage_metadata`: input includes the cache."""

_CHAT_BEDROCK: Convention = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cache_read_input_tokens": Beside("cached_tokens", "prompt_tokens"),
    "cache_write_input_tokens": Beside("cache_write_tokens", "prompt_tokens"),
}
"""LangChain's `ChatBedrock`: OpenAI's names, and an input that counts neither cache reads nor cache writes."""

_COUNTED_AS_ZERO = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"}
)
"""Fields for which none is worth saying; a zero of any other says that there was no such thing."""


def read_usage(raw: Any) -> Fields:
    """Record fields from a usage object of any known convention; empty where none is recognised."""
    if not isinstance(raw, dict):
        return {}
    for key, convention, complete in _CONVENTIONS:
        if raw.get(key) is not None:
            found = usage.read(raw, convention)
            if complete is not None:
                complete(raw, found)
            if all(found.values()):
                return found
            return {field: value for field, value in found.items() if value or field in _COUNTED_AS_ZERO}
    return {}


def _add_tools(raw: Mapping[str, Any], found: Fields) -> None:
    tools = usage.read(raw, usage.TOOLS)
    if tools:
        found["tool_call_counts"] = {name: count for name, count in tools.items() if count}


def _add_writes(raw: Mapping[str, Any], found: Fields) -> None:
    """Cache writes of Anthropic may stand under their lifetime alone."""
    details = raw["input_token_details"]
    if isinstance(details, dict):
        by_lifetime = [details.get(f"ephemeral_{lifetime}_input_tokens") for lifetime in ("5m", "1h")]
        written = sum(count for count in by_lifetime if type(count) is int)
        if written > (found.get("cache_write_tokens") or 0):
            found["cache_write_tokens"] = written


_CONVENTIONS: tuple[tuple[str, Convention, Callable[[Mapping[str, Any], Fields], None] | None], ...] = (
    ("cache_write_input_tokens", _CHAT_BEDROCK, None),
    ("prompt_tokens", usage.CHAT, None),
    ("input_tokens_details", usage.RESPONSES, None),
    ("input_token_details", _LANGCHAIN, _add_writes),
    ("cache_read_input_tokens", usage.MESSAGES, _add_tools),
    ("cache_creation_input_tokens", usage.MESSAGES, _add_tools),
    ("cache_creation", usage.MESSAGES, _add_tools),
    ("promptTokenCount", usage.GENERATE, None),
    ("prompt_token_count", usage.GENERATE, None),
    ("inputTokens", usage.CONVERSE, None),
    ("billed_units", {"billed_units": usage.BILLED}, None),
    ("input_tokens", usage.RESPONSES, None),
)
"""The first key that is there → the convention, and what it takes beyond its table."""


def take_usage(draft: Draft, raw: Any) -> bool:
    """Take a usage object as the truth: it wins over the instrumentation's own numbers. True if it was understood."""
    if raw is None:
        return False
    found = read_usage(raw)
    if not found:
        return False
    fields = draft.fields
    for field, value in found.items():
        if type(value) is int and 0 <= value <= MAX_COUNT:  # nearly all are: to ask for each takes twice as long
            fields[field] = value
        else:
            draft.put(field, value)
    fields["usage_raw"] = raw
    draft.give("pricing_tier", "fast" if raw.get("speed") == "fast" else raw.get("service_tier"))
    cost = raw.get("cost")
    if type(cost) is int or type(cost) is float:
        draft.put("provider_cost_usd", cost)
    return True
