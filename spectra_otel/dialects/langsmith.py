"""LangSmith's SDK in OpenTelemetry mode: semantic conventions, `langsmith.*`, and the whole answer as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Role, Rule, Text
from spectra_otel.dialects._convert import parsed
from spectra_otel.dialects._fixes import no_cache_counts
from spectra_otel.dialects._texts import langchain_result, response_body
from spectra_otel.dialects._usage import take_usage

KINDS: dict[str, tuple[Role, str]] = {
    "llm": (Role.CALL, "text"), "embedding": (Role.CALL, "embedding"), "chain": (Role.WRAPPER, ""),
}  # fmt: skip
"""`langsmith.span.kind`."""


def role(draft: Draft) -> Role:
    """By LangSmith's own kind, which every span of it has."""
    kind = draft.attributes.get("langsmith.span.kind")
    if kind is None:
        return semconv.role(draft)
    found, model_type = KINDS.get(str(kind).lower(), (Role.OTHER, ""))
    if found is Role.CALL:
        draft.fields["model_type"] = model_type
    return found


def completion(draft: Draft, found: Any) -> None:
    """The answer: LangChain's result, or the provider's response."""
    if isinstance(found, Mapping) and "generations" in found:
        langchain_result(draft, found)
    else:
        response_body(draft, found)


def usage_metadata(draft: Draft, found: Any) -> None:
    """LangChain's `usage_metadata`."""
    if "usage_raw" not in draft.fields:
        take_usage(draft, found)


def input_details(draft: Draft, found: Any) -> None:
    """The parts of the input, where only the totals have attributes of their own."""
    if isinstance(found, Mapping):
        draft.give("cached_tokens", found.get("cache_read"))
        draft.give("cache_write_tokens", found.get("cache_creation"))


def output_details(draft: Draft, found: Any) -> None:
    """The parts of the output."""
    if isinstance(found, Mapping):
        draft.give("reasoning_tokens", found.get("reasoning"))


DIALECT = Dialect(
    name="langsmith",
    scopes=("langsmith",),
    keys=("langsmith.",),
    role=role,
    fields={
        **semconv.FIELDS,
        "provider": ("langsmith.metadata.ls_provider", "gen_ai.provider.name", "gen_ai.system"),
        "is_streaming": ("langsmith.request.streaming", "gen_ai.request.stream", "langsmith.metadata.stream"),
    },
    texts=(
        Text("gen_ai.completion", completion),
        Text("langsmith.metadata.usage_metadata", usage_metadata),
        Text("gen_ai.usage.input_token_details", input_details, parsed),
        Text("gen_ai.usage.output_token_details", output_details, parsed),
    ),
    rules=(Rule("", (no_cache_counts,), providers=frozenset({"openai", "azure"})),),
)
