"""The providers' usage objects, one table for each convention: which count stands under which name.

In a record, input includes what was read from and written to a cache, and output includes reasoning. A target is a field of the
record, a table for the object that stands there, or :class:`Beside`. Where two names say one count, the first that is not zero
holds. The formats of our own instrumentors read by these tables, and so do the dialects that keep a provider's object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from spectra_otel.providers.values import Values, put_count


class Beside(NamedTuple):
    """A count that the provider has beside the whole (another field), to which it is added where the whole is said.

    ``field`` "" is none of its own. ``leaves_out_zeros``: a whole that is not said is zero.
    """

    field: str
    whole: str
    leaves_out_zeros: bool = False


Target: TypeAlias = "str | Beside | Mapping[str, Target]"
Convention: TypeAlias = Mapping[str, Target]

_SHORT = "cache_write_5m_tokens"
"""No field of the record: what is written and not for an hour."""
_LIFETIMES: Convention = {
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "ephemeral_5m_input_tokens": _SHORT,
}
_INPUT: Convention = {
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_creation_tokens": "cache_write_tokens",
    "cache_creation_token_details": _LIFETIMES,
    "audio_tokens": "audio_prompt_tokens",
    "image_tokens": "image_prompt_tokens",
}
_OUTPUT: Convention = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_tokens": "audio_completion_tokens",
    "image_tokens": "image_completion_tokens",
}
CHAT: Convention = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "prompt_tokens_details": _INPUT,
    "prompt_token_details": _INPUT,
    "completion_tokens_details": _OUTPUT,
    "reasoning_tokens": "reasoning_tokens",
    "cached_tokens": "cached_tokens",
    "num_cached_tokens": "cached_tokens",
    "prompt_cache_hit_tokens": "cached_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
"""OpenAI's chat completions and embeddings; everybody compatible with them; LiteLLM's own object."""

RESPONSES: Convention = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details": _INPUT, "input_token_details": _INPUT,
    "output_tokens_details": _OUTPUT, "output_token_details": _OUTPUT,
}  # fmt: skip
"""OpenAI's Responses, its transcriptions (details without an "s"), and whoever counts in two totals under these names."""

_READ, _WRITTEN = Beside("cached_tokens", "prompt_tokens"), Beside("cache_write_tokens", "prompt_tokens")
MESSAGES: Convention = {
    "input_tokens": "prompt_tokens",
    "cache_read_input_tokens": _READ,
    "cache_creation_input_tokens": _WRITTEN,
    "cache_creation": _LIFETIMES,
    "output_tokens": "completion_tokens",
    "output_tokens_details": {"thinking_tokens": "reasoning_tokens"},
}
"""Anthropic's Messages: input counts neither what was read from nor what was written to the cache."""

_TOOL_PROMPT, _THOUGHTS = Beside("", "prompt_tokens"), Beside("reasoning_tokens", "completion_tokens", True)
GENERATE: Convention = {
    "promptTokenCount": "prompt_tokens", "prompt_token_count": "prompt_tokens",
    "toolUsePromptTokenCount": _TOOL_PROMPT, "tool_use_prompt_token_count": _TOOL_PROMPT,
    "candidatesTokenCount": "completion_tokens", "candidates_token_count": "completion_tokens",
    "thoughtsTokenCount": _THOUGHTS, "thoughts_token_count": _THOUGHTS,
    "cachedContentTokenCount": "cached_tokens", "cached_content_token_count": "cached_tokens",
    "totalTokenCount": "total_tokens", "total_token_count": "total_tokens",
}  # fmt: skip
"""Gemini, in either spelling: thoughts and tool prompts stand beside candidates and prompt, and zeros are left out."""

INTERACTION: Convention = {
    "total_input_tokens": "prompt_tokens",
    "total_tool_use_tokens": _TOOL_PROMPT,
    "total_output_tokens": "completion_tokens",
    "total_thought_tokens": Beside("reasoning_tokens", "completion_tokens"),
    "total_cached_tokens": "cached_tokens",
    "total_tokens": "total_tokens",
}
"""Gemini's Interactions."""

CONVERSE: Convention = {
    "inputTokens": "prompt_tokens",
    "outputTokens": "completion_tokens",
    "totalTokens": "total_tokens",
    "cacheReadInputTokens": _READ, "cacheReadInputTokenCount": _READ,
    "cacheWriteInputTokens": _WRITTEN, "cacheWriteInputTokenCount": _WRITTEN,
}  # fmt: skip
"""Bedrock's Converse: input counts neither cache reads nor cache writes."""

BILLED: Convention = {
    "input_tokens": "prompt_tokens",
    "image_tokens": Beside("image_prompt_tokens", "prompt_tokens", True),
    "output_tokens": "completion_tokens",
    "search_units": "search_units",
}
"""Cohere's ``billed_units``."""

TOOLS: Convention = {
    "server_tool_use": {"web_search_requests": "web_search", "web_fetch_requests": "web_fetch"},
}
"""Anthropic's count of billed calls of server-side tools, by the tool's name in the record."""


def read(usage: Mapping[str, Any], convention: Convention) -> dict[str, Any]:
    """Record fields that a usage object has by a convention; the counts are as they were sent, numbers or not.

    Anthropic's writes to the cache may stand under their lifetimes alone.
    """
    found: dict[str, Any] = {}
    parts: list[tuple[Beside, Any]] = []
    _gather(usage, convention, found, parts)
    if _SHORT in found or "cache_write_1h_tokens" in found:
        by_lifetime = [
            count for count in (found.pop(_SHORT, None), found.get("cache_write_1h_tokens")) if type(count) is int
        ]
        if by_lifetime and "cache_write_tokens" not in found:
            found["cache_write_tokens"] = sum(by_lifetime)
            if convention.get("cache_creation_input_tokens") is _WRITTEN:
                parts.append((_WRITTEN, sum(by_lifetime)))
    for part, count in parts:
        whole = found.get(part.whole, 0 if part.leaves_out_zeros else None)
        if type(whole) is int and type(count) is int:
            found[part.whole] = whole + count
    return found


def take(usage: Mapping[str, Any], convention: Convention, values: Values) -> None:
    """Set the counts of a usage object."""
    for field, count in read(usage, convention).items():
        if type(count) is int:  # nearly all are: a call for each takes longer than the rest
            values[field] = count
        else:
            put_count(values, field, count)


def _gather(
    usage: Mapping[str, Any], convention: Convention, found: dict[str, Any], parts: list[tuple[Beside, Any]]
) -> None:
    for key, value in usage.items():
        target = convention.get(key)
        if target is None or value is None:
            continue
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(target) is str:
            if not found.get(target):
                found[target] = value
        elif type(target) is Beside:
            if not target.field:
                parts.append((target, value))
            elif not found.get(target.field):
                found[target.field] = value
                parts.append((target, value))
        elif isinstance(value, dict) and isinstance(target, dict):
            _gather(value, target, found, parts)
