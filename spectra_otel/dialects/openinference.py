"""Arize's OpenInference: `llm.token_count.*`, and the request and response as text in `input.value` and `output.value`.

`llm.model_name` is the served model where a response was read, else the requested one; which was asked for stands in
`llm.invocation_parameters`.
"""

from __future__ import annotations

from typing import Any

from spectra_otel.dialects._base import CALL, OTHER, Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import host, milliseconds
from spectra_otel.dialects._fixes import (
    EXCLUSIVE,
    bedrock_input_lacks_cache,
    convention_is_unknown,
    input_excludes_cache,
    input_lacks_cache,
    input_short_of_total,
    no_cache_counts,
    output_excludes_reasoning,
    usage_is_unusable,
)
from spectra_otel.dialects._providers import from_name
from spectra_otel.dialects._texts import langchain_metadata, langchain_result, request_body, response_body
from spectra_otel.model.spans import events_of

KINDS: dict[str, tuple[Role, str]] = {
    "LLM": (Role.CALL, "text"), "EMBEDDING": (Role.CALL, "embedding"),
    "CHAIN": (Role.WRAPPER, ""), "AGENT": (Role.WRAPPER, ""),
}  # fmt: skip
"""`openinference.span.kind`; tools, retrievers, rerankers, guardrails and prompts are none of ours."""

_HELPERS = ("._prepare_chat_with_tools",)
"""LlamaIndex marks as LLM also what it does before the call."""


def role(draft: Draft) -> Role:
    """By `openinference.span.kind`."""
    kind = str(draft.attributes.get("openinference.span.kind", ""))
    found, model_type = KINDS.get(kind) or KINDS.get(kind.upper(), (OTHER, ""))
    if found is CALL:
        if draft.span.name.endswith(_HELPERS):
            return OTHER
        draft.fields["model_type"] = model_type
        draft.fields["operation"] = "embeddings" if model_type == "embedding" else "chat"
    return found


def parameters(draft: Draft, found: Any) -> None:
    """The parameters of the call; LangChain names the provider's class in `_type`."""
    request_body(draft, found)
    if isinstance(found, dict):
        kind = found.get("_type")
        if isinstance(kind, str):
            draft.give("provider", {"azure-openai-chat": "azure"}.get(kind, kind.partition("-")[0]))


def output(draft: Draft, found: Any) -> None:
    """The response: a provider's own, or LangChain's result."""
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, dict) and "generations" in found:
        langchain_result(draft, found)
    else:
        response_body(draft, found)


def names(draft: Draft) -> None:
    """What is only known once everything was read: the model's two names, the first token, LiteLLM's prefix."""
    attributes = draft.attributes
    named = attributes.get("llm.model_name") or attributes.get("embedding.model_name")
    draft.give("model", named)
    if not draft.is_failed and "llm.request.model_name" not in attributes:  # newer ones tell the two apart
        draft.give("snapshot", named)
    for event in events_of(draft.span):
        if event.name == "First Token Stream Event":
            draft.give("is_streaming", True)
            if draft.span.start_time:
                draft.give("time_to_first_token_ms", milliseconds((event.timestamp - draft.span.start_time) / 1e6))
            break


def litellm_names(draft: Draft) -> None:
    """LiteLLM names a model with its provider: `anthropic/claude-sonnet-4-5`. Behind it, the answer's model is not known."""
    for field in ("model", "snapshot"):
        vendor, slash, name = draft.fields.get(field, "").partition("/")
        if slash:
            draft.give("provider", vendor)
            if vendor != "openrouter" and from_name(vendor) == from_name(draft.fields["provider"]):
                draft.fields[field] = name
    if "output.mime_type" not in draft.attributes and draft.fields.get("model_type") == "text":
        draft.drop("snapshot")


def agents_names(draft: Draft) -> None:
    """Of chat completions, openai-agents knows the requested model alone."""
    if draft.span.name == "generation":
        draft.drop("snapshot")


def framework_names(draft: Draft) -> None:
    """A framework knows what it asked for; which model served, only a response that it kept can tell."""
    if draft.fields.get("snapshot") == draft.attributes.get("llm.model_name"):
        draft.drop("snapshot")
    litellm_names(draft)


def adk_counts(draft: Draft) -> None:
    """ADK's output counts no thoughts; without the response, whether there were some is not known."""
    if "usage_raw" not in draft.fields:
        output_excludes_reasoning(draft)


def anthropic_of_2025(draft: Draft) -> None:
    """Before 1, a stream's input counts no cached tokens and says nothing of them; its served model is not known."""
    if draft.span.name == "MessagesStream":
        draft.put("is_streaming", True)
    if draft.fields.get("is_streaming"):
        input_lacks_cache(draft)
        draft.drop("snapshot")


def bedrock_invoke_of_2025(draft: Draft) -> None:
    """Before 0.1.27, InvokeModel's input counts no cached tokens, and its total is made of the two."""
    if draft.span.name.startswith("bedrock.invoke_model") and "cached_tokens" not in draft.fields:
        bedrock_input_lacks_cache(draft)


def langchain_of_2025(draft: Draft) -> None:
    """Before 0.1.50, the counts of cached tokens are there where the input excludes them, and only there."""
    if "cached_tokens" in draft.fields and draft.fields.get("provider") in ("anthropic", "bedrock"):
        input_excludes_cache(draft)


def langchain_streams_of_2025(draft: Draft) -> None:
    """LangChain of that time added up the counts of an Anthropic stream's first and last event, which both say all."""
    if draft.fields.get("is_streaming"):
        usage_is_unusable(draft)


def chat_of_openai_agents(draft: Draft) -> None:
    """Of chat completions, openai-agents hands on the two totals alone."""
    if draft.span.name == "generation":
        no_cache_counts(draft)


SCOPE = "openinference.instrumentation"
SDKS = tuple(
    f"{SCOPE}.{name}"
    for name in (
        "anthropic", "bedrock", "google_genai", "groq", "langchain", "litellm", "mistralai", "openai", "openai_agents", "portkey",
        "vertexai",
    )
)  # fmt: skip
"""Scopes that read the provider's response, or have rules of their own; all others are of frameworks, which hand on totals."""

JAVASCRIPT = "@arizeai"
DIALECT = Dialect(
    name="openinference",
    scopes=(SCOPE, "openinference", JAVASCRIPT),
    keys=("openinference.", "llm.token_count."),
    role=role,
    fields={
        "provider": ("llm.provider", "llm.system"),
        "model": ("llm.request.model_name",),
        "snapshot": ("llm.response.model_name",),
        "finish_reason": ("llm.finish_reason",),
        "prompt_tokens": ("llm.token_count.prompt",),
        "completion_tokens": ("llm.token_count.completion",),
        "total_tokens": ("llm.token_count.total",),
        "cached_tokens": ("llm.token_count.prompt_details.cache_read",),
        "cache_write_tokens": (
            "llm.token_count.prompt_details.cache_write",
            "llm.token_count.prompt_details.cache_creation",
        ),
        "audio_prompt_tokens": ("llm.token_count.prompt_details.audio",),
        "audio_completion_tokens": ("llm.token_count.completion_details.audio",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
        "host": ("server.address", From("url.full", host)),
    },
    texts=(
        Text("llm.invocation_parameters", parameters),
        Text("embedding.invocation_parameters", parameters),
        Text("metadata", langchain_metadata),
        Text("input.value", request_body, without="model"),
        Text("output.value", output),
    ),
    names=(
        Rule("", (names,)),
        Rule(SCOPE, (framework_names,), outside=SDKS),
        Rule(f"{SCOPE}.litellm", (litellm_names,)),
        Rule(f"{SCOPE}.openai_agents", (agents_names,)),
    ),
    rules=(
        Rule("", (convention_is_unknown,), outside=(SCOPE, JAVASCRIPT, "envoyproxy")),
        Rule(f"{JAVASCRIPT}/openinference-instrumentation-anthropic", (input_lacks_cache,)),
        Rule(SCOPE, (no_cache_counts,), outside=SDKS),
        Rule(f"{SCOPE}.agno", (input_excludes_cache,), providers=EXCLUSIVE),
        Rule(f"{SCOPE}.google_adk", (adk_counts,)),
        Rule(f"{SCOPE}.bedrock", (input_short_of_total,)),
        Rule(f"{SCOPE}.bedrock", (bedrock_invoke_of_2025,), below="0.1.27"),
        Rule(f"{SCOPE}.anthropic", (anthropic_of_2025,), below="1"),
        Rule(f"{SCOPE}.langchain", (langchain_of_2025,), below="0.1.50"),
        Rule(f"{SCOPE}.langchain", (langchain_streams_of_2025,), below="0.1.40", providers=frozenset({"anthropic"})),
        Rule(f"{SCOPE}.langchain", (no_cache_counts,), providers=frozenset({"openai", "azure"})),
        Rule(f"{SCOPE}.openai_agents", (chat_of_openai_agents,)),
    ),
)
