"""The span of a call: its name, its attributes, its ids, and whether another instrumentation has made it already."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span, Tracer

from spectra_otel import faults
from spectra_otel.model.attributes import usage_attributes
from spectra_otel.tracking import ids

Values = dict[str, Any]
SCOPE = "spectra_otel"
ROLLUP = "spectra.rollup"
NAME_LIMIT = 200
"""Characters of a model name in a span's name."""
MODEL_CALLS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
_UTIL_GENAI_KEY = "opentelemetry.genai.client.inference.context"
"""Context key by which opentelemetry-util-genai says that a span for the model call exists (its CLIENT_INFERENCE_CONTEXT_KEY)."""


def span_name(values: Mapping[str, Any]) -> str:
    """``chat gpt-4o``, as the semantic conventions have it."""
    model = values.get("model")
    operation = str(values.get("operation") or "chat")
    return f"{operation} {str(model)[:NAME_LIMIT]}" if model else operation


def start_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """What samplers may look at: operation, provider, model and server."""
    attributes = {
        "gen_ai.operation.name": values.get("operation"),
        "gen_ai.provider.name": values.get("provider"),
        "gen_ai.request.model": str(values["model"])[:NAME_LIMIT] if values.get("model") else None,
        "server.address": values.get("server.address"),
        "server.port": values.get("server.port"),
    }
    return {key: value for key, value in attributes.items() if value is not None}


def known_values(values: Values) -> Values:
    """The record fields among ``values`` that are known; what serves the span alone has a dot in its name."""
    return {name: value for name, value in values.items() if value is not None and "." not in name}


def record_attributes(values: Values, existing: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the record adds to a span that has ``existing``."""
    attributes = usage_attributes(values, existing or {})
    for key in ("gen_ai.request.model", "gen_ai.response.model"):
        name = attributes.get(key)
        if name is not None and len(name) > NAME_LIMIT:
            attributes[key] = name[:NAME_LIMIT]
    return attributes


def fixed_trace(text: str | None) -> int | None:
    """A trace id from 32 hex digits, with dashes as a UUID has them or without; one that is none is said once and left."""
    if text is None:
        return None
    digits = str(text).replace("-", "")
    try:
        number = int(digits, 16) if len(digits) == 32 else 0
    except ValueError:
        number = 0
    if not number:
        faults.report("track", f"trace_id: got '{text}', valid: 32 hex digits, not all zero, or a UUID")
    return number or None


class _OneTrace(IdGenerator):
    """Ids of another generator, but for the trace's."""

    def __init__(self, ids: IdGenerator, trace_id: int) -> None:
        self._ids = ids
        self._trace_id = trace_id

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._ids.generate_span_id()


def tracer_of_trace(tracer: Tracer, trace_id: int) -> Tracer:
    """A tracer whose root spans have that trace id; the SDK has no parent without a span id to say it with."""
    if not isinstance(tracer, SdkTracer):
        return tracer
    twin = copy.copy(tracer)
    twin.id_generator = _OneTrace(tracer.id_generator, trace_id)
    return twin


def of_its_own(span: Span, parent: Span, trace_id: int | None) -> Span:
    """A span that nobody records, with an id by which its record can be told from others.

    Without the SDK, or where the app has let go of its provider, a span has no id, or its parent's.
    """
    own, above = span.get_span_context(), parent.get_span_context()
    if own.is_valid and own.span_id != above.span_id:
        return span
    trace_id = trace_id or above.trace_id or ids.trace_id()
    return trace.NonRecordingSpan(trace.SpanContext(trace_id, ids.span_id(), is_remote=False))


def parent_context(context: Context) -> trace.SpanContext | None:
    """The span that a new one would stand under."""
    parent = trace.get_current_span(context).get_span_context()
    return parent if parent.is_valid else None


def model_call_span(context: Context) -> SdkSpan | None:
    """The current span, if another instrumentation made it for this very model call (never an agent's or a chain's)."""
    span: Any = trace.get_current_span(context)
    if not isinstance(span, SdkSpan):
        span = getattr(span, "span", None)  # Logfire keeps the SDK's span in one of its own
    if not isinstance(span, SdkSpan) or not span.is_recording():
        return None
    scope = span.instrumentation_scope
    if scope is not None and scope.name == SCOPE:
        return None
    if context_api.get_value(_UTIL_GENAI_KEY, context) is not None:
        return span
    attributes = cast("Mapping[str, Any]", span.attributes or {})
    if attributes.get("gen_ai.operation.name") in MODEL_CALLS:
        return span
    if attributes.get("openinference.span.kind") in ("LLM", "EMBEDDING"):
        return span
    return span if "llm.request.type" in attributes or "gen_ai.request.model" in attributes else None
