"""Logfire's own spans of the OpenAI and Anthropic SDKs.

A stream is two spans. The request's ends when the stream is handed over and knows no usage; a second one, a log at the end of the
stream ("streaming response from … took"), has it: that one is the call, `duration` seconds long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Role, Rule, Text
from spectra_otel.dialects._fixes import no_cache_counts
from spectra_otel.dialects._texts import request_body, usage_holder, usage_object

_ANSWERED = (  # the events of a stream's request hold what was asked alone
    "gen_ai.response.id",
    "gen_ai.output.messages",
    "gen_ai.usage.input_tokens",
    "response_data",
    "events",
)


def role(draft: Draft) -> Role:
    """The request's half of a stream is no call of its own: it has neither an answer nor a failure."""
    attributes, fields = draft.attributes, draft.fields
    if attributes.get("logfire.span_type") == "log":
        if "duration" not in attributes or "request_data" not in attributes:
            return Role.OTHER
    elif not draft.is_failed:
        answered = [key for key in _ANSWERED if key in attributes]
        if not answered or (answered == ["events"] and '"stream":true' in str(attributes.get("request_data"))):
            return Role.WRAPPER
    is_embedding = draft.span.name.startswith("Embedding") or fields.get("operation") == "embeddings"
    fields["model_type"] = "embedding" if is_embedding else "text"
    fields.setdefault("operation", "embeddings" if is_embedding else "chat")
    fields.setdefault("provider", str(getattr(draft.span.instrumentation_scope, "name", "")).removeprefix("logfire."))
    return Role.CALL


def request_data(draft: Draft, found: Any) -> None:
    """The request as it was sent; 3 wrote the served model's name over the requested one's in the attributes."""
    if isinstance(found, Mapping):
        draft.put("model", found.get("model"))
        request_body(draft, found)


def stream_end(draft: Draft) -> None:
    """Where no answer was read, the served model is the requested one's name again: in the log that ends a stream, in
    chat completions of openai-agents.
    """
    is_log = draft.attributes.get("logfire.span_type") == "log"
    if is_log:
        draft.put("is_streaming", True)
    is_echo = draft.fields.get("snapshot") == draft.fields.get("model") and "/" not in draft.fields.get("model", "")
    is_unread = is_log or "prompt_tokens" not in draft.fields or "model_config" in draft.attributes
    if is_echo and is_unread:
        draft.drop("snapshot")


def response_data(draft: Draft, found: Any) -> None:
    """Up to 4, the usage stands in `response_data`; in a stream's, without a model or an id."""
    usage_holder(draft, found)
    if isinstance(found, Mapping) and isinstance(found.get("message"), Mapping):
        draft.give("finish_reason", found["message"].get("stop_reason"))


def uncounted_cache(draft: Draft) -> None:
    """Without the provider's usage object, or where openai-agents made two totals of it, cached tokens are not counted."""
    if "usage_raw" not in draft.fields or draft.fields.get("provider") == "openai":
        no_cache_counts(draft)


DIALECT = Dialect(
    name="logfire",
    scopes=("logfire.openai", "logfire.anthropic", "logfire.openai_agents"),
    role=role,
    fields={**semconv.FIELDS, "response_id": ("gen_ai.response.id", "response_id")},
    texts=(
        Text("request_data", request_data),
        Text("usage", usage_object),
        Text("gen_ai.usage.raw", usage_object),
        Text("response_data", response_data),
    ),
    rules=(Rule("logfire", (stream_end, uncounted_cache)),),
)
