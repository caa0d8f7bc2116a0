"""opentelemetry-instrumentation-google-genai (Logfire's Google spans are these too), and Google's ADK.

0.3b0 sums the input over the chunks of a stream, does not say which calls streamed, and counts neither cached tokens nor
thoughts; from 1 on, output includes thoughts.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Rule
from spectra_otel.dialects._fixes import usage_is_unusable

DIALECT = Dialect(
    name="google_genai",
    scopes=("opentelemetry.instrumentation.google_genai", "gcp.vertex.agent"),
    role=semconv.role,
    fields=semconv.FIELDS,
    rules=(Rule("opentelemetry.instrumentation.google_genai", (usage_is_unusable,), below="1"),),
)
