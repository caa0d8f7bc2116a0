"""What families are known to mean by their numbers, or to get wrong. A rule of a dialect names these."""

from __future__ import annotations

from typing import Any

from spectra_otel.dialects._base import Doubt, Draft
from spectra_otel.dialects._providers import from_model

_INPUT = ("prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens")


def input_excludes_cache(draft: Draft) -> None:
    """Input counts neither cache reads nor cache writes; a count that is absent is zero."""
    _add_to_input(draft, "cached_tokens", "cache_write_tokens")


def input_excludes_cache_writes(draft: Draft) -> None:
    """Input counts cache reads and no cache writes."""
    _add_to_input(draft, "cache_write_tokens")


def _add_to_input(draft: Draft, *parts: str) -> None:
    fields = draft.fields
    if "prompt_tokens" in fields and "usage_raw" not in fields:  # a provider's own object was read as what it is
        fields["prompt_tokens"] += sum(fields.get(part, 0) for part in parts)


def input_lacks_cache(draft: Draft) -> None:
    """Input counts no cached tokens, and how many there were is said nowhere: what is known of the input is a floor."""
    if "prompt_tokens" in draft.fields and "usage_raw" not in draft.fields and "cached_tokens" not in draft.fields:
        keep_raw(draft)
        draft.drop(*_INPUT)
        draft.settle_for(Doubt.PARTIAL)


def bedrock_input_lacks_cache(draft: Draft) -> None:
    """Where the model can cache, input counts no cached tokens, and how many there were is said nowhere."""
    names = f"{draft.fields.get('model')} {draft.fields.get('snapshot')}"
    if "claude" in names or "nova" in names:
        input_lacks_cache(draft)


def input_short_of_total(draft: Draft) -> None:
    """Bedrock's total counts cached tokens: what it has beyond input and output belongs to the input.

    Where nothing says which of them were read and which written, the cost is an estimate.
    """
    fields = draft.fields
    prompt, completion, total = (fields.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if prompt is None or completion is None or total is None or total <= prompt + completion:
        return
    fields["prompt_tokens"] = total - completion
    if "cached_tokens" not in fields:
        draft.settle_for(Doubt.ESTIMATED)


_WITHOUT_THOUGHTS = ("gemini-1", "gemini-2.0", "gemini-pro")


def output_excludes_reasoning(draft: Draft) -> None:
    """Output counts no thoughts: they are added, or taken from the total; where neither says them, the output is a floor."""
    fields = draft.fields
    completion, reasoning = fields.get("completion_tokens"), fields.get("reasoning_tokens")
    if completion is None or "usage_raw" in fields:
        return
    if reasoning is not None:
        fields["completion_tokens"] = completion + reasoning
        return
    if (fields.get("snapshot") or fields.get("model", "")).removeprefix("models/").startswith(_WITHOUT_THOUGHTS):
        return
    total, prompt = fields.get("total_tokens"), fields.get("prompt_tokens")
    if total is not None and prompt is not None and total >= prompt + completion:
        fields["completion_tokens"] = total - prompt
        draft.give("reasoning_tokens", total - prompt - completion or None)
        return
    keep_raw(draft)
    draft.drop("completion_tokens")
    draft.settle_for(Doubt.PARTIAL)


def output_excludes_counted_reasoning(draft: Draft) -> None:
    """Output counts no thoughts; where there were some, they are counted apart."""
    if "completion_tokens" in draft.fields and "usage_raw" not in draft.fields:
        draft.fields["completion_tokens"] += draft.fields.get("reasoning_tokens", 0)


_CACHES_FROM = 1024
"""Models of OpenAI cache no prompt of fewer tokens (platform.openai.com/docs/guides/prompt-caching)."""


def no_cache_counts(draft: Draft) -> None:
    """Cached tokens are in the input and are not counted apart: at the full rate the cost is an estimate."""
    fields = draft.fields
    if "prompt_tokens" not in fields or "cached_tokens" in fields or fields.get("model_type") != "text":
        return
    if fields["prompt_tokens"] >= _CACHES_FROM or from_model(fields.get("snapshot") or fields.get("model")) != "openai":
        draft.settle_for(Doubt.ESTIMATED)


def no_cache_writes(draft: Draft) -> None:
    """Cache writes are said to be none even where there were some: the cost without them is a floor."""
    if "usage_raw" not in draft.fields and not draft.fields.get("cache_write_tokens"):
        draft.drop("cache_write_tokens")
        if draft.fields.get("prompt_tokens"):
            draft.settle_for(Doubt.PARTIAL)


def convention_is_unknown(draft: Draft) -> None:
    """Nobody has looked at what this scope means: the conventions are believed, as far as the numbers allow.

    An input that is less than what was cached cannot include it, nor an output its thoughts. Of those whose own input excludes
    the cache, an input may be the one or the other, counted or not.
    """
    fields = draft.fields
    get = fields.get
    cached = (get("cached_tokens") or 0) + (get("cache_write_tokens") or 0)
    thoughts = get("reasoning_tokens") or 0
    prompt = get("prompt_tokens", cached)
    if "prompt_tokens" in fields and get("provider") in EXCLUSIVE and (cached or "cached_tokens" not in fields):
        draft.settle_for(Doubt.ESTIMATED)
    if prompt < cached:
        draft.settle_for(Doubt.ESTIMATED)
        input_excludes_cache(draft)
    if thoughts > get("completion_tokens", thoughts):
        draft.settle_for(Doubt.ESTIMATED)
        output_excludes_counted_reasoning(draft)
    if from_model(get("snapshot") or get("model")) == "openai":  # it caches without being asked
        no_cache_counts(draft)


EXCLUSIVE = frozenset({"anthropic", "bedrock"})
"""Their own input counts no cached tokens: some instrumentations hand it on as it is."""


def usage_is_unusable(draft: Draft) -> None:
    """Tokens are counted wrongly and nothing tells when: they stay in `usage_raw` alone."""
    if "prompt_tokens" in draft.fields or "completion_tokens" in draft.fields:
        as_reported = {f"reported_{name}": value for name, value in draft.fields.items() if name.endswith("_tokens")}
        draft.give("usage_raw", as_reported)
        draft.drop(*_INPUT, "completion_tokens", "reasoning_tokens", "total_tokens")
        draft.settle_for(Doubt.PARTIAL)


def streamed_output_is_inexact(draft: Draft) -> None:
    """In a stream, the output tokens of the opening event are counted twice: a few tokens too many."""
    if draft.fields.get("is_streaming") and "completion_tokens" in draft.fields:
        draft.settle_for(Doubt.ESTIMATED)


def streamed_usage_may_be_guessed(draft: Draft) -> None:
    """Where a stream brings no usage, the client's own count stands in its place; it knows no cached tokens."""
    fields = draft.fields
    if fields.get("is_streaming") and "prompt_tokens" in fields and "cached_tokens" not in fields:
        draft.settle_for(Doubt.ESTIMATED)


def keep_raw(draft: Draft) -> None:
    """Keep the numbers as they were sent, under the names of the semantic conventions."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    found: dict[str, Any] = {names.get(k, k): v for k, v in draft.fields.items() if k.endswith("_tokens")}
    draft.give("usage_raw", found or None)
