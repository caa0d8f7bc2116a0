"""opentelemetry-instrumentation-google-genai (Logfire's Google spans are these too), Google's ADK, and the Gemini CLI.

Before 1, the input of a stream is summed over its chunks, and neither cached tokens nor thoughts are counted; from 1 on, output
includes thoughts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import CALL, Dialect, Draft, Role, Rule, Text
from spectra_otel.dialects._fixes import no_cache_counts, output_excludes_reasoning, usage_is_unusable
from spectra_otel.dialects._usage import take_usage


def before_1(draft: Draft) -> None:
    """The name of the wrapped function is all that tells a stream."""
    if str(draft.attributes.get("code.function.name", "_stream")).endswith("_stream"):
        draft.give("is_streaming", True if "code.function.name" in draft.attributes else None)
        usage_is_unusable(draft)
    else:
        no_cache_counts(draft)
        output_excludes_reasoning(draft)


def role(draft: Draft) -> Role:
    """ADK's own `call_llm` is a call where it keeps the response; from 2 on it wraps another span of it."""
    if draft.span.name == "call_llm" and "gcp.vertex.agent.llm_response" in draft.attributes:
        draft.fields.setdefault("operation", "generate_content")
        draft.fields["model_type"] = "text"
        return CALL
    return semconv.role(draft)


def adk_response(draft: Draft, found: Any) -> None:
    """ADK keeps the response on its own span. The counts beside it leave out thoughts and what was cached before 2."""
    if isinstance(found, Mapping):
        take_usage(draft, found.get("usage_metadata"))


def adk_counts(draft: Draft) -> None:
    """Up to 1, and with the response left out, thoughts and cached tokens are not counted."""
    if draft.span.name == "call_llm" and "cached_tokens" not in draft.fields:
        no_cache_counts(draft)


DIALECT = Dialect(
    name="google_genai",
    scopes=("opentelemetry.instrumentation.google_genai", "gcp.vertex.agent", "gemini-cli"),
    role=role,
    fields=semconv.FIELDS,
    texts=(Text("gcp.vertex.agent.llm_response", adk_response),),
    rules=(
        Rule("opentelemetry.instrumentation.google_genai", (before_1,), below="1"),
        Rule("gcp.vertex.agent", (adk_counts,)),
        Rule("gemini-cli", (no_cache_counts, output_excludes_reasoning)),
    ),
)
