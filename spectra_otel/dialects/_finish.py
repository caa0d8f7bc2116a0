"""The last step of every dialect: provider, kind of model, failure, and usage that cannot be."""

from __future__ import annotations

import re

from opentelemetry.trace import StatusCode

from spectra_otel.dialects import _convert as convert
from spectra_otel.dialects import _providers as providers
from spectra_otel.dialects._base import Doubt, Draft
from spectra_otel.model.privacy import words
from spectra_otel.providers.values import put_region

_HTTP_STATUS = re.compile(r"(?:Error code:? |status(?: code|_code)?[:= ]+|^|: )([45]\d\d)\b")
_USAGE = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "audio_prompt_tokens", "audio_completion_tokens", "image_prompt_tokens", "image_completion_tokens",
)  # fmt: skip
_TOOL_REASONS = frozenset({"tool_calls", "tool_call", "tool-calls", "tool_use", "TOOL_CALLS", "function_call"})
USAGE_INCONSISTENT = "usage_inconsistent"
_ERROR = StatusCode.ERROR
PORT = "server.port"
_STANDARD_TIERS = frozenset({"default", "auto", "on_demand", "standard_only", "on-demand"})


def settle_words(draft: Draft) -> None:
    """Each provider has its own words for the standard tier, and for having asked for a tool."""
    fields = draft.fields
    tier = fields.get("pricing_tier")
    if tier is not None and tier.lower() in _STANDARD_TIERS:
        fields["pricing_tier"] = "standard"
    if fields.get("finish_reason") in _TOOL_REASONS:
        fields["has_tool_calls"] = True


def settle_provider(draft: Draft) -> None:
    """Who served: the host, else the name, else whoever sells the model under its name."""
    fields = draft.fields
    model, port, host = fields.get("model"), draft.attributes.get(PORT), fields.pop("host", None)
    if type(port) is not int:
        port = int(port) if type(port) is float and port.is_integer() else None
    provider = providers.served_by(host, port, fields.get("provider"), model or fields.get("snapshot"))
    if provider == "openai" and model and "/" in model and str(fields.get("response_id")).startswith("gen-"):
        provider = "openrouter"  # its ids and its vendor/model names, where the instrumentation knows no host
    if provider == "anthropic" and model and providers.from_model(model) == "bedrock":
        provider = "bedrock"  # Anthropic's SDK called Bedrock: only there a model is named with its maker
    if provider is None:
        fields.pop("provider", None)
    else:
        fields["provider"] = provider
        if provider == "ollama" and (tier := providers.tier_at(host)):
            fields["pricing_tier"] = tier
        draft.region = providers.region_at(host) if host else None


def settle_place(draft: Draft) -> None:
    """Where the call ran, if that has a price."""
    put_region(draft.fields, draft.region)


def is_settled_by_names(draft: Draft) -> bool:
    """Whether :func:`settle_provider`, `settle_kind` and `settle_words` looked at names alone, and at no id."""
    return "/" not in draft.fields.get("model", "") and draft.region is None


def settle_failure(draft: Draft) -> None:
    """Whether the call failed, with status and message wherever the span has them."""
    fields, span = draft.fields, draft.span
    if span.status.status_code is not _ERROR and "error_type" not in fields:
        if "response_id" in fields or "finish_reason" in fields or "completion_tokens" in fields:
            fields["is_failed"] = False
        return
    fields["is_failed"] = True
    message = span.status.description
    for event in span.events:
        if event.name == "exception" and event.attributes:
            draft.give("error_type", event.attributes.get("exception.type"))
            message = message or convert.text(event.attributes.get("exception.message"))
    draft.give("error_message", message and words(message))
    if "status_code" not in fields:
        error_type = fields.get("error_type", "")
        found = error_type if len(error_type) == 3 and error_type.isdigit() else None
        if found is None and message:
            match = _HTTP_STATUS.search(message[:300])
            found = match[1] if match else None
        if found:
            fields["status_code"] = int(found)


def settle_kind(draft: Draft) -> None:
    """A model for embeddings embeds, whatever the operation is called."""
    fields = draft.fields
    if fields.setdefault("model_type", "text") == "text" and "embed" in fields.get("model", ""):
        fields["model_type"] = "embedding"


def settle_usage(draft: Draft) -> None:
    """Totals, and the refusal of numbers that contradict each other."""
    fields = draft.fields
    get = fields.get
    prompt, completion, reasoning = get("prompt_tokens"), get("completion_tokens"), get("reasoning_tokens")
    written = get("cache_write_tokens") or 0
    if (
        draft.absurd
        or (prompt is not None and (get("cached_tokens") or 0) + written > prompt)
        or (get("cache_write_1h_tokens") or 0) > written
        or (reasoning and completion is not None and reasoning > completion)
    ):
        refuse_usage(draft)
        return
    if not prompt and not completion and (prompt is not None or completion is not None):
        draft.drop(*_USAGE)  # a model that read nothing and said nothing: the instrumentation did not know
        return
    if prompt == 0 and fields.get("model_type") == "text":
        draft.drop("prompt_tokens", "total_tokens")  # no model answers to nothing: how much it read was not known
        draft.settle_for(Doubt.PARTIAL)
        return
    if prompt is not None and completion is not None:
        fields["total_tokens"] = prompt + completion
    if reasoning:
        fields["is_reasoning"] = True


def refuse_usage(draft: Draft) -> None:
    """Keep numbers that cannot be as raw usage alone; such a record is never priced."""
    fields = draft.fields
    raw = {name: fields[name] for name in _USAGE if name in fields}
    raw.update({name: str(value)[:40] for name, value in draft.absurd.items()})
    draft.drop(*_USAGE)
    fields.setdefault("usage_raw", raw)
    fields["cost_status"] = "unpriced"
    fields["error_type"] = USAGE_INCONSISTENT
