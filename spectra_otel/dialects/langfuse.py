"""Langfuse's SDK. `usage_details` is one JSON attribute with two conventions.

Its OpenAI wrapper keeps the provider's usage object. Its LangChain handler splits input and output into parts that add up:
`input` without `input_cache_read`, `output` without `output_reasoning`. It also subtracts parts of parts (cache writes by their
lifetime) and stops at zero: the total is right then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects._base import Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import json_text, present
from spectra_otel.dialects._texts import request_body
from spectra_otel.dialects._usage import take_usage

TYPES: dict[str, tuple[Role, str]] = {
    "generation": (Role.CALL, "text"), "embedding": (Role.CALL, "embedding"), "agent": (Role.WRAPPER, ""),
    "chain": (Role.WRAPPER, ""), "span": (Role.WRAPPER, ""),
}  # fmt: skip
"""`langfuse.observation.type`."""

PARTS: dict[str, tuple[str, ...]] = {
    "cached_tokens": ("input_cache_read", "input_cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": (
        "input_cache_creation", "input_cache_write", "cache_creation_input_tokens", "cache_write_input_tokens",
    ),
    "cache_write_1h_tokens": ("input_ephemeral_1h_input_tokens", "cache_creation_ephemeral_1h_input_tokens"),
    "audio_prompt_tokens": ("input_audio",),
    "audio_completion_tokens": ("output_audio",),
    "reasoning_tokens": ("output_reasoning", "output_reasoning_tokens"),
}  # fmt: skip
"""Record field → the part of `usage_details` that holds it."""

_NO_PARTS = ("ephemeral", "_priority")
"""In names of counts that stand in another part already: cache writes of a lifetime, tokens of a service tier."""


def role(draft: Draft) -> Role:
    """By observation type."""
    found, model_type = TYPES.get(str(draft.attributes.get("langfuse.observation.type", "")).lower(), (Role.OTHER, ""))
    if found is Role.CALL:
        draft.fields["model_type"] = model_type
        draft.fields["operation"] = "embeddings" if model_type == "embedding" else "chat"
    return found


def usage_details(draft: Draft, found: Any) -> None:
    """Either the provider's object, or parts that add up."""
    if not isinstance(found, Mapping) or ("input" not in found and take_usage(draft, found)):
        return
    counts = {key: value for key, value in found.items() if isinstance(value, int) and not isinstance(value, bool)}
    parts = {key: value for key, value in counts.items() if not any(mark in key for mark in _NO_PARTS)}
    inputs = [value for key, value in parts.items() if key.startswith(("input", "cache_"))]
    outputs = [value for key, value in parts.items() if key.startswith("output")]
    prompt, completion = sum(inputs), sum(outputs)
    total = counts.get("total")
    if inputs and outputs and total and total >= completion:
        prompt = total - completion
    draft.put("prompt_tokens", prompt if inputs else None)
    draft.put("completion_tokens", completion if outputs else None)
    for field, names in PARTS.items():
        draft.put(field, next((counts[name] for name in names if name in counts), None))
    draft.put("usage_raw", dict(found))


def model_names(draft: Draft) -> None:
    """`model.name` is the served model once there was an answer; LangChain's metadata names the requested one."""
    named = draft.attributes.get("langfuse.observation.model.name")
    answered = "langfuse.observation.output" in draft.attributes and not draft.is_failed
    draft.give("model", named)
    if answered and named != json_text(draft.attributes.get("langfuse.observation.metadata.ls_model_name")):
        draft.give("snapshot", named)


DIALECT = Dialect(
    name="langfuse",
    scopes=("langfuse",),
    keys=("langfuse.observation.",),
    role=role,
    fields={
        "provider": (From("langfuse.observation.metadata.ls_provider", json_text),),
        "model": (From("langfuse.observation.metadata.ls_model_name", json_text),),
        "response_id": (From("langfuse.observation.metadata.id", json_text),),
        "finish_reason": (
            From("langfuse.observation.metadata.finish_reason", json_text),
            From("langfuse.observation.metadata.status", json_text),
        ),
        "pricing_tier": (From("langfuse.observation.metadata.service_tier", json_text),),
        "is_streaming": (From("langfuse.observation.completion_start_time", present),),
    },
    texts=(
        Text("langfuse.observation.usage_details", usage_details),
        Text("langfuse.observation.model.parameters", request_body),
    ),
    names=(Rule("", (model_names,)),),
)
