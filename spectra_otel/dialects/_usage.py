"""Usage objects of providers and frameworks, as some instrumentations keep them whole, to record fields.

Which convention an object follows is told by its keys: each provider has its own names. In the record, input includes what was
read from and written to a cache, and output includes reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spectra_otel.dialects._base import Draft

Fields = dict[str, Any]


def read_usage(raw: Any) -> Fields:
    """Record fields from a usage object of any known convention; empty where none is recognised."""
    if not isinstance(raw, Mapping):
        return {}
    for key, reader in _CONVENTIONS:
        if raw.get(key) is not None:
            return {field: value for field, value in reader(raw).items() if value is not None}
    return {}


def _openai_chat(raw: Mapping[str, Any]) -> Fields:
    """Chat completions and embeddings; everybody compatible with them; LiteLLM's own object."""
    prompt, completion = _part(raw, "prompt_tokens_details"), _part(raw, "completion_tokens_details")
    return {
        "prompt_tokens": raw.get("prompt_tokens"),
        "completion_tokens": raw.get("completion_tokens"),
        "cached_tokens": _first(prompt, "cached_tokens")
        or _first(raw, "cache_read_input_tokens", "prompt_cache_hit_tokens")
        or _first(prompt, "cached_tokens"),
        "cache_write_tokens": _first(prompt, "cache_write_tokens", "cache_creation_tokens")
        or _first(raw, "cache_creation_input_tokens"),
        "cache_write_1h_tokens": _part(prompt, "cache_creation_token_details").get("ephemeral_1h_input_tokens") or None,
        "reasoning_tokens": completion.get("reasoning_tokens"),
        "audio_prompt_tokens": prompt.get("audio_tokens") or None,
        "audio_completion_tokens": completion.get("audio_tokens") or None,
        "image_prompt_tokens": prompt.get("image_tokens") or None,
    }


def _openai_responses(raw: Mapping[str, Any]) -> Fields:
    prompt, completion = _part(raw, "input_tokens_details"), _part(raw, "output_tokens_details")
    return {
        "prompt_tokens": raw.get("input_tokens"),
        "completion_tokens": raw.get("output_tokens"),
        "cached_tokens": prompt.get("cached_tokens"),
        "cache_write_tokens": prompt.get("cache_write_tokens"),
        "reasoning_tokens": completion.get("reasoning_tokens"),
        "image_prompt_tokens": prompt.get("image_tokens") or None,
        "image_completion_tokens": completion.get("image_tokens") or None,
    }


def _anthropic(raw: Mapping[str, Any]) -> Fields:
    """Messages: input counts neither what was read from nor what was written to the cache."""
    read, write = raw.get("cache_read_input_tokens"), raw.get("cache_creation_input_tokens")
    searches = _part(raw, "server_tool_use")
    tools = {
        name: searches[f"{name}_requests"] for name in ("web_search", "web_fetch") if searches.get(f"{name}_requests")
    }
    return {
        "prompt_tokens": _sum(raw.get("input_tokens"), read, write),
        "completion_tokens": raw.get("output_tokens"),
        "cached_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": _part(raw, "cache_creation").get("ephemeral_1h_input_tokens") or None,
        "reasoning_tokens": _part(raw, "output_tokens_details").get("thinking_tokens"),
        "tool_call_counts": tools or None,
    }


def _langchain(raw: Mapping[str, Any]) -> Fields:
    """LangChain's `usage_metadata`: input includes the cache. Writes of Anthropic may stand under their lifetime alone."""
    prompt, completion = _part(raw, "input_token_details"), _part(raw, "output_token_details")
    by_lifetime = _sum(prompt.get("ephemeral_5m_input_tokens"), prompt.get("ephemeral_1h_input_tokens"))
    return {
        "prompt_tokens": raw.get("input_tokens"),
        "completion_tokens": raw.get("output_tokens"),
        "cached_tokens": prompt.get("cache_read"),
        "cache_write_tokens": max(prompt.get("cache_creation") or 0, by_lifetime or 0) or prompt.get("cache_creation"),
        "cache_write_1h_tokens": prompt.get("ephemeral_1h_input_tokens") or None,
        "reasoning_tokens": completion.get("reasoning"),
        "audio_prompt_tokens": prompt.get("audio") or None,
        "audio_completion_tokens": completion.get("audio") or None,
    }


def _gemini(raw: Mapping[str, Any]) -> Fields:
    """`usageMetadata`, in either spelling: thoughts and tool prompts stand beside candidates and prompt."""
    thoughts = _first(raw, "thoughtsTokenCount", "thoughts_token_count")
    tool_prompt = _first(raw, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    return {
        "prompt_tokens": _sum(_first(raw, "promptTokenCount", "prompt_token_count"), tool_prompt),
        "completion_tokens": _sum(_first(raw, "candidatesTokenCount", "candidates_token_count"), thoughts),
        "cached_tokens": _first(raw, "cachedContentTokenCount", "cached_content_token_count"),
        "reasoning_tokens": thoughts,
    }


def _bedrock(raw: Mapping[str, Any]) -> Fields:
    """Converse: input counts neither cache reads nor cache writes."""
    read = _first(raw, "cacheReadInputTokens", "cacheReadInputTokenCount")
    write = _first(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return {
        "prompt_tokens": _sum(raw.get("inputTokens"), read, write),
        "completion_tokens": raw.get("outputTokens"),
        "cached_tokens": read,
        "cache_write_tokens": write,
    }


def _cohere(raw: Mapping[str, Any]) -> Fields:
    billed = _part(raw, "billed_units")
    return {
        "prompt_tokens": billed.get("input_tokens"),
        "completion_tokens": billed.get("output_tokens"),
        "search_units": billed.get("search_units"),
    }


def _plain(raw: Mapping[str, Any]) -> Fields:
    """Two numbers under the names of the semantic conventions: input is all input."""
    return {
        "prompt_tokens": raw.get("input_tokens"),
        "completion_tokens": raw.get("output_tokens"),
        "reasoning_tokens": _part(raw, "output_tokens_details").get("reasoning_tokens"),
    }


_CONVENTIONS: tuple[tuple[str, Callable[[Mapping[str, Any]], Fields]], ...] = (
    ("prompt_tokens", _openai_chat),
    ("input_tokens_details", _openai_responses),
    ("input_token_details", _langchain),
    ("cache_read_input_tokens", _anthropic),
    ("cache_creation_input_tokens", _anthropic),
    ("cache_creation", _anthropic),
    ("promptTokenCount", _gemini),
    ("prompt_token_count", _gemini),
    ("inputTokens", _bedrock),
    ("billed_units", _cohere),
    ("input_tokens", _plain),
)
"""The first key that is there → the convention."""


def take_usage(draft: Draft, raw: Any) -> bool:
    """Take a usage object as the truth: it wins over the instrumentation's own numbers. True if it was understood."""
    found = read_usage(raw)
    if not found:
        return False
    for field, value in found.items():
        draft.put(field, value)
    draft.put("usage_raw", dict(raw))
    draft.give("pricing_tier", raw.get("service_tier"))
    cost = raw.get("cost")
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        draft.put("provider_cost_usd", cost)
    return True


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _first(raw: Mapping[str, Any], *keys: str) -> Any:
    return next((raw[key] for key in keys if raw.get(key) is not None), None)


def _sum(*values: Any) -> int | None:
    """The sum of what is known; None if the first is not."""
    if not isinstance(values[0], (int, float)):
        return None
    return int(sum(value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)))
