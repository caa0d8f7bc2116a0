"""The providers' usage objects, one table for each convention: which count stands under which name.

In a record, input includes what was read from and written to a cache, and output includes reasoning. A target is a field of the
record, a table for the object that stands there, or ``(field, whole)``: a count that the provider has beside the whole, to which
it is added where the whole is said. Where two names say one count, the first that is not zero holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Target: TypeAlias = "str | tuple[str, str] | Mapping[str, Target]"
Convention: TypeAlias = Mapping[str, Target]

_CHAT_INPUT: Convention = {
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_creation_tokens": "cache_write_tokens",
    "cache_creation_token_details": {"ephemeral_1h_input_tokens": "cache_write_1h_tokens"},
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
    "prompt_tokens_details": _CHAT_INPUT,
    "prompt_token_details": _CHAT_INPUT,
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
    "input_tokens_details": _CHAT_INPUT,
    "output_tokens_details": _OUTPUT,
}
"""OpenAI's Responses, and whoever counts in two totals under these names."""

MESSAGES: Convention = {
    "input_tokens": "prompt_tokens",
    "cache_read_input_tokens": ("cached_tokens", "prompt_tokens"),
    "cache_creation_input_tokens": ("cache_write_tokens", "prompt_tokens"),
    "cache_creation": {"ephemeral_1h_input_tokens": "cache_write_1h_tokens"},
    "output_tokens": "completion_tokens",
    "output_tokens_details": {"thinking_tokens": "reasoning_tokens"},
}
"""Anthropic's Messages: input counts neither what was read from nor what was written to the cache."""

_TOOL_PROMPT, _THOUGHTS = ("", "prompt_tokens"), ("reasoning_tokens", "completion_tokens")
GENERATE: Convention = {
    "promptTokenCount": "prompt_tokens", "prompt_token_count": "prompt_tokens",
    "toolUsePromptTokenCount": _TOOL_PROMPT, "tool_use_prompt_token_count": _TOOL_PROMPT,
    "candidatesTokenCount": "completion_tokens", "candidates_token_count": "completion_tokens",
    "thoughtsTokenCount": _THOUGHTS, "thoughts_token_count": _THOUGHTS,
    "cachedContentTokenCount": "cached_tokens", "cached_content_token_count": "cached_tokens",
    "totalTokenCount": "total_tokens", "total_token_count": "total_tokens",
}  # fmt: skip
"""Gemini, in either spelling: thoughts and tool prompts stand beside candidates and prompt."""

_READ, _WRITTEN = ("cached_tokens", "prompt_tokens"), ("cache_write_tokens", "prompt_tokens")
CONVERSE: Convention = {
    "inputTokens": "prompt_tokens",
    "outputTokens": "completion_tokens",
    "totalTokens": "total_tokens",
    "cacheReadInputTokens": _READ, "cacheReadInputTokenCount": _READ,
    "cacheWriteInputTokens": _WRITTEN, "cacheWriteInputTokenCount": _WRITTEN,
}  # fmt: skip
"""Bedrock's Converse: input counts neither cache reads nor cache writes."""

BILLED: Convention = {
    "billed_units": {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "search_units": "search_units",
    }
}
"""Cohere: what was billed."""

TOOLS: Convention = {
    "server_tool_use": {"web_search_requests": "web_search", "web_fetch_requests": "web_fetch"},
}
"""Anthropic's count of billed calls of server-side tools, by the tool's name in the record."""


def read(usage: Mapping[str, Any], convention: Convention) -> dict[str, Any]:
    """Record fields that a usage object has by a convention; the counts are as they were sent, numbers or not."""
    found: dict[str, Any] = {}
    beside: list[tuple[str, Any]] = []
    _gather(usage, convention, found, beside)
    for whole, count in beside:
        if type(found.get(whole)) is int and type(count) is int:
            found[whole] += count
    return found


def _gather(
    usage: Mapping[str, Any], convention: Convention, found: dict[str, Any], beside: list[tuple[str, Any]]
) -> None:
    for key, value in usage.items():
        target = convention.get(key)
        if target is None or value is None:
            continue
        if type(target) is str:
            if not found.get(target):
                found[target] = value
        elif type(target) is tuple:
            field, whole = target
            if not field:
                beside.append((whole, value))
            elif not found.get(field):
                found[field] = value
                beside.append((whole, value))
        elif isinstance(value, Mapping) and isinstance(target, Mapping):
            _gather(value, target, found, beside)
