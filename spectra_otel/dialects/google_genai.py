"""opentelemetry-instrumentation-google-genai (Logfire's Google spans are these too), and Google's ADK.

Before 1, the input of a stream is summed over its chunks, and neither cached tokens nor thoughts are counted; from 1 on, output
includes thoughts.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Rule
from spectra_otel.dialects._fixes import no_cache_counts, output_excludes_reasoning, usage_is_unusable


def before_1(draft: Draft) -> None:
    """The name of the wrapped function is all that tells a stream."""
    if str(draft.attributes.get("code.function.name", "_stream")).endswith("_stream"):
        draft.give("is_streaming", True if "code.function.name" in draft.attributes else None)
        usage_is_unusable(draft)
    else:
        no_cache_counts(draft)
        output_excludes_reasoning(draft)


DIALECT = Dialect(
    name="google_genai",
    scopes=("opentelemetry.instrumentation.google_genai", "gcp.vertex.agent"),
    role=semconv.role,
    fields=semconv.FIELDS,
    rules=(Rule("opentelemetry.instrumentation.google_genai", (before_1,), below="1"),),
)
