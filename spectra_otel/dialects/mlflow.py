"""MLflow tracing: every attribute is JSON. Inputs and outputs are the SDK's own request and response.

`mlflow.chat.tokenUsage` includes cached tokens; of Gemini it counts no thoughts, but the response does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects._base import Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import json_text
from spectra_otel.dialects._fixes import bedrock_input_lacks_cache, input_excludes_cache, output_excludes_reasoning
from spectra_otel.dialects._texts import langchain_metadata, langchain_result, request_body, response_body

TYPES: dict[str, tuple[Role, str]] = {
    "CHAT_MODEL": (Role.CALL, "text"), "LLM": (Role.CALL, "text"), "EMBEDDING": (Role.CALL, "embedding"),
    "CHAIN": (Role.WRAPPER, ""), "AGENT": (Role.WRAPPER, ""), "WORKFLOW": (Role.WRAPPER, ""),
}  # fmt: skip
"""`mlflow.spanType`."""

FORMATS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "bedrock": "bedrock", "mistral": "mistral",
           "groq": "groq"}  # fmt: skip
"""`mlflow.message.format` → the provider whose format it is, where none is named."""


def provider_of_format(value: Any) -> str | None:
    """The provider whose message format it is."""
    return FORMATS.get(json_text(value) or "")


def role(draft: Draft) -> Role:
    """By span type."""
    found, model_type = TYPES.get(json_text(draft.attributes.get("mlflow.spanType")) or "", (Role.OTHER, ""))
    if found is Role.CALL:
        draft.fields["model_type"] = model_type
        draft.fields["operation"] = "embeddings" if model_type == "embedding" else "chat"
    return found


def outputs(draft: Draft, found: Any) -> None:
    """The response: the provider's own, or LangChain's result. MLflow's own chat format repeats the requested model."""
    if isinstance(found, Mapping) and "generations" in found:
        langchain_result(draft, found)
    elif json_text(draft.attributes.get("mlflow.message.format")) != "langchain":
        response_body(draft, found)


def token_usage(draft: Draft, found: Any) -> None:
    """MLflow's own counts, where the response holds none: input includes the cache."""
    if not isinstance(found, Mapping) or "usage_raw" in draft.fields:
        return
    draft.give("prompt_tokens", found.get("input_tokens"))
    draft.give("completion_tokens", found.get("output_tokens"))
    draft.give("total_tokens", found.get("total_tokens"))
    draft.give("cached_tokens", found.get("cache_read_input_tokens"))
    draft.give("cache_write_tokens", found.get("cache_creation_input_tokens"))
    draft.give("cache_write_1h_tokens", found.get("cache_creation_input_tokens_above_1hr"))


def names(draft: Draft) -> None:
    """The model's names, the stream's last chunk, and the provider by its format."""
    fields, attributes = draft.fields, draft.attributes
    draft.give("model", json_text(attributes.get("mlflow.llm.model")))
    if fields.get("model_type") == "embedding" and not draft.is_failed:
        draft.give("snapshot", json_text(attributes.get("mlflow.llm.model")))
    tokens = [event for event in draft.span.events if event.name == "new_token"]
    if tokens:
        draft.put("is_streaming", True)
        for event in reversed(tokens):
            _last_chunk(draft, str((event.attributes or {}).get("chunk", "")))


def _last_chunk(draft: Draft, chunk: str) -> None:
    """LangChain's closing chunk names the served model."""
    _, key, rest = chunk.partition('"model_name": "')
    if key:
        draft.give("snapshot", rest.partition('"')[0])


def thoughts(draft: Draft) -> None:
    """Gemini's output, where only MLflow's own counts are known."""
    if "usage_raw" not in draft.fields:
        output_excludes_reasoning(draft)


def bedrock_counts(draft: Draft) -> None:
    """InvokeModel's input, where only MLflow's own counts are known."""
    if "usage_raw" not in draft.fields:
        bedrock_input_lacks_cache(draft)
        input_excludes_cache(draft)


DIALECT = Dialect(
    name="mlflow",
    scopes=("mlflow",),
    keys=("mlflow.spanType", "mlflow.llm."),
    role=role,
    fields={
        "provider": (From("mlflow.llm.provider", json_text), From("mlflow.message.format", provider_of_format)),
        "model": (From("model", json_text),),
        "is_streaming": ("stream",),
        "user_id": (From("mlflow.trace.user", json_text), "user.id"),
        "conversation_id": (From("mlflow.trace.session", json_text), "session.id"),
    },
    texts=(
        Text("mlflow.spanInputs", request_body),
        Text("invocation_params", request_body),
        Text("metadata", langchain_metadata),
        Text("mlflow.spanOutputs", outputs),
        Text("mlflow.chat.tokenUsage", token_usage),
    ),
    names=(Rule("", (names,)),),
    rules=(
        Rule("", (thoughts,), providers=frozenset({"google", "vertex"})),
        Rule("", (bedrock_counts,), providers=frozenset({"bedrock"})),
    ),
)  # fmt: skip
