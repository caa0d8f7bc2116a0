"""Frameworks of voice agents: Pipecat and LiveKit. Speech is a call of its own, counted in characters or seconds.

Pipecat hands on the providers' own meaning: input of Anthropic and Bedrock excludes cached tokens, output of Gemini excludes
thoughts. LiveKit's input is whole; its own metrics, as JSON beside the attributes, know the cache writes and the total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, Dialect, Draft, From, Role, Rule, Text
from spectra_otel.dialects._convert import number, seconds
from spectra_otel.dialects._fixes import (
    EXCLUSIVE,
    input_excludes_cache,
    no_cache_writes,
    output_excludes_counted_reasoning,
    output_excludes_reasoning,
)

_SPEECH = {"tts": "tts", "stt": "stt"}
"""Pipecat's `gen_ai.operation.name` of speech → the model type."""


def role(draft: Draft) -> Role:
    """By operation; LiveKit's speech has metrics and no operation."""
    fields = draft.fields
    kind = "tts" if "lk.tts_metrics" in draft.attributes else _SPEECH.get(fields.get("operation", ""))
    if kind is None:
        return semconv.role(draft)
    fields["model_type"] = kind
    return CALL


def livekit_metrics(draft: Draft, found: Any) -> None:
    """What LiveKit measured of a request; a count of zero is one it does not have."""
    if not isinstance(found, Mapping):
        return
    draft.give("total_tokens", found.get("total_tokens") or None)
    draft.give("cache_write_tokens", found.get("cache_creation_tokens"))
    draft.give("input_characters", found.get("characters_count"))
    draft.give("duration_seconds", number(found.get("audio_duration")) or None)
    draft.give("time_to_first_token_ms", seconds(found.get("ttft", found.get("ttfb"))))
    names = found.get("metadata")
    if isinstance(names, Mapping):
        draft.give("model", names.get("model_name"))
        draft.give("provider", names.get("model_provider"))


GOOGLE = frozenset({"google", "vertex"})
LIVEKIT, PIPECAT = "livekit-agents", "pipecat"
DIALECT = Dialect(
    name="voice",
    scopes=(LIVEKIT, PIPECAT),
    role=role,
    fields={
        **semconv.FIELDS,
        "input_characters": ("metrics.character_count",),
        "duration_seconds": ("metrics.audio_seconds",),
        "time_to_first_token_ms": (From("metrics.ttfb", seconds),),
    },
    texts=(Text("lk.llm_metrics", livekit_metrics), Text("lk.tts_metrics", livekit_metrics)),
    rules=(
        Rule(PIPECAT, (input_excludes_cache,), providers=EXCLUSIVE),
        Rule(PIPECAT, (output_excludes_counted_reasoning,), providers=GOOGLE),
        Rule(LIVEKIT, (no_cache_writes,), providers=EXCLUSIVE),
        Rule(LIVEKIT, (output_excludes_reasoning,), providers=GOOGLE),
    ),
)
