"""Traceloop's OpenLLMetry: semantic conventions, `llm.*` of older releases, `traceloop.*` on workflows."""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Doubt, Draft, From, Role, Rule
from spectra_otel.dialects._convert import first
from spectra_otel.dialects._fixes import (
    bedrock_input_lacks_cache,
    convention_is_unknown,
    input_excludes_cache,
    no_cache_counts,
    no_cache_writes,
    output_excludes_reasoning,
    streamed_output_is_inexact,
)
from spectra_otel.dialects._providers import from_model

REQUEST_TYPES = {"chat": "text", "completion": "text", "embedding": "embedding", "rerank": "rerank"}
"""`llm.request.type` of releases before the operation name."""


def role(draft: Draft) -> Role:
    """By operation or request type. A span with a Traceloop kind is a workflow, agent, task or tool."""
    kind = draft.attributes.get("traceloop.span.kind")
    request_type = REQUEST_TYPES.get(str(draft.attributes.get("llm.request.type", "")).lower())
    if kind is not None and draft.span.name.partition(".")[0].endswith("Embedding") and "model" in draft.fields:
        draft.fields["model_type"] = "embedding"  # LlamaIndex: its workflow spans are the only ones of an embedding
        return Role.CALL
    if kind is not None:
        return Role.OTHER if kind == "tool" else Role.WRAPPER
    if "operation" not in draft.fields and request_type is not None:
        draft.fields["model_type"] = request_type
        draft.fields["operation"] = "embeddings" if request_type == "embedding" else "chat"
        return Role.CALL
    return semconv.role(draft)


def langchain_model(draft: Draft) -> None:
    """LangChain's spans name the requested model as the served one where they do not know it: in streams and Responses."""
    if draft.fields.get("snapshot") == draft.fields.get("model") and "response_id" not in draft.fields:
        draft.drop("snapshot")


def openrouter_model(draft: Draft) -> None:
    """The vendor before an OpenRouter model was cut off: `anthropic/claude-sonnet-4.5` is `claude-sonnet-4.5` here."""
    if draft.fields.get("provider") == "openrouter":
        for field in ("model", "snapshot"):
            name = draft.fields.get(field)
            vendor = from_model(name) if name and "/" not in name else None
            if vendor:
                draft.fields[field] = f"{vendor}/{name}"


def bedrock_model(draft: Draft) -> None:
    """The maker before a model's name was cut off: `amazon.nova-pro-v1:0` is `nova-pro-v1:0` here."""
    name = draft.fields.get("model", "")
    maker = next((maker for start, maker in BEDROCK_MAKERS if name.startswith(start)), None)
    if maker:
        draft.fields["model"] = f"{maker}.{name}"


def bedrock_input(draft: Draft) -> None:
    """Input counts no cached tokens. Converse says how many there were; of a streamed InvokeModel nothing does.

    Only InvokeModel of Claude has a response id, so a Claude without one was asked by Converse.
    """
    is_converse = "claude" in draft.fields.get("model", "") and "response_id" not in draft.fields
    if "cached_tokens" not in draft.fields and not is_converse:
        bedrock_input_lacks_cache(draft)
    input_excludes_cache(draft)


def anthropic_usage(draft: Draft) -> None:
    """A stream's output is inexact. That of the SDK's helper has no flag: there, the id is before the model."""
    keys = [key for key in draft.attributes if key in ("gen_ai.response.id", "gen_ai.response.model")]
    if "completion_tokens" in draft.fields and keys == ["gen_ai.response.id", "gen_ai.response.model"]:
        draft.settle_for(Doubt.ESTIMATED)
    streamed_output_is_inexact(draft)


BEDROCK_MAKERS = (
    ("claude", "anthropic"), ("nova", "amazon"), ("titan", "amazon"), ("llama", "meta"), ("mistral", "mistral"),
    ("mixtral", "mistral"), ("pixtral", "mistral"), ("command", "cohere"), ("embed-", "cohere"), ("rerank-v", "cohere"),
    ("jamba", "ai21"), ("jurassic", "ai21"), ("j2-", "ai21"), ("gpt-oss", "openai"), ("qwen", "qwen"), ("palmyra", "writer"),
)  # fmt: skip
"""Beginning of a Bedrock model's name → who made it."""


ANTHROPIC, OPENAI = frozenset({"anthropic"}), frozenset({"openai", "azure"})
SCOPE = "opentelemetry.instrumentation"
FAMILIES = (
    "anthropic", "openai", "openai_agents", "langchain", "llamaindex", "bedrock", "google_generativeai", "vertexai", "cohere",
    "mistralai", "groq", "ollama", "replicate", "together", "watsonx", "sagemaker", "alephalpha", "writer", "crewai", "haystack",
    "agno", "transformers", "voyageai", "mcp",
)  # fmt: skip
DIALECT = Dialect(
    name="openllmetry",
    scopes=(*(f"{SCOPE}.{family}" for family in FAMILIES), "traceloop", "@traceloop"),
    keys=("llm.request.type", "traceloop."),
    role=role,
    fields={
        **semconv.FIELDS,
        "provider": ("gen_ai.provider.name", "gen_ai.system", "traceloop.association.properties.ls_provider"),
        "finish_reason": (
            From("gen_ai.response.finish_reasons", first),
            From("gen_ai.completion.0.finish_reason", first),
        ),
        "host": ("server.address", "gen_ai.openai.api_base", "llm.openai.api_base"),
    },
    names=(Rule(f"{SCOPE}.langchain", (langchain_model,)), Rule(f"{SCOPE}.bedrock", (bedrock_model,))),
    rules=(
        Rule(f"{SCOPE}.bedrock", (bedrock_input_lacks_cache,), below="0.62"),
        Rule(f"{SCOPE}.bedrock", (bedrock_input,)),
        Rule(f"{SCOPE}.google_generativeai", (output_excludes_reasoning,)),
        Rule(f"{SCOPE}.google_generativeai", (no_cache_counts,), below="0.62"),
        Rule(f"{SCOPE}.vertexai", (output_excludes_reasoning,)),
        Rule(f"{SCOPE}.anthropic", (anthropic_usage,), since="0.41"),
        Rule(f"{SCOPE}.anthropic", (no_cache_counts,)),
        Rule("@traceloop", (convention_is_unknown,)),  # its JavaScript
        Rule(f"{SCOPE}.langchain", (no_cache_writes,), providers=ANTHROPIC),
        Rule(f"{SCOPE}.openai_agents", (no_cache_counts,)),
        Rule(f"{SCOPE}.openai", (openrouter_model,)),
        Rule(f"{SCOPE}.openai", (no_cache_counts,), providers=OPENAI),
    ),
)
