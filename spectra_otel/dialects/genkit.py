"""Google's Genkit: `genkit:*`. A model's action has the whole answer as JSON, mostly with the provider's own response in it.

Its own counts are the provider's, in other names: input of Anthropic excludes cached tokens, output of Gemini its thoughts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects._base import CALL, OTHER, Dialect, Draft, Role, Rule, Text
from spectra_otel.dialects._fixes import (
    EXCLUSIVE,
    input_excludes_cache,
    input_lacks_cache,
    no_cache_counts,
    output_excludes_counted_reasoning,
)
from spectra_otel.dialects._texts import response_body

KINDS = {"model": ("text", "chat"), "embedder": ("embedding", "embeddings")}
"""`genkit:metadata:subtype` of a call → model type and operation."""

PLUGINS = {"googleai": "google", "vertexai": "vertex", "vertexModelGarden": "vertex", "azureOpenAI": "azure"}
"""Plugin → provider, where they have two names."""

_COUNTS = {
    "inputTokens": "prompt_tokens", "outputTokens": "completion_tokens", "totalTokens": "total_tokens",
    "thoughtsTokens": "reasoning_tokens", "cachedContentTokens": "cached_tokens", "inputCharacters": "input_characters",
}  # fmt: skip


def role(draft: Draft) -> Role:
    """By the kind of action."""
    kind = KINDS.get(str(draft.attributes.get("genkit:metadata:subtype", "")))
    if kind is None:
        return OTHER
    draft.fields["model_type"], draft.fields["operation"] = kind
    return CALL


def output(draft: Draft, found: Any) -> None:
    """The answer: the provider's own response, else Genkit's counts."""
    if not isinstance(found, Mapping):
        return
    for key in ("raw", "custom"):
        response_body(draft, found.get(key))
    usage = found.get("usage")
    if "usage_raw" not in draft.fields and isinstance(usage, Mapping):
        for key, field in _COUNTS.items():
            draft.give(field, usage.get(key))
        own = usage.get("custom")
        if isinstance(own, Mapping):
            draft.give("cached_tokens", own.get("cache_read_input_tokens"))
            draft.give("cache_write_tokens", own.get("cache_creation_input_tokens"))
            draft.give("cache_write_1h_tokens", own.get("ephemeral_1h_input_tokens"))
    draft.give("finish_reason", found.get("finishReason"))


def names(draft: Draft) -> None:
    """An action is named with its plugin: `googleai/gemini-2.5-flash`."""
    plugin, _, model = str(draft.attributes.get("genkit:name", "")).rpartition("/")
    draft.give("model", model or None)
    draft.give("provider", PLUGINS.get(plugin, plugin) or None)


GOOGLE = frozenset({"google", "vertex"})
DIALECT = Dialect(
    name="genkit",
    keys=("genkit:",),
    role=role,
    fields={"conversation_id": ("genkit:sessionId", "session.id")},
    texts=(Text("genkit:output", output),),
    names=(Rule("", (names,)),),
    rules=(
        Rule("", (input_lacks_cache, input_excludes_cache), providers=EXCLUSIVE),
        Rule("", (output_excludes_counted_reasoning,), providers=GOOGLE),
        Rule("", (no_cache_counts,)),
    ),
)
