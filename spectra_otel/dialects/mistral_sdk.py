"""The spans that the `mistralai` SDK emits by itself.

They count no cached tokens, and a refused call leaves no sign but its emptiness.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, From, Rule
from spectra_otel.dialects._convert import path
from spectra_otel.dialects._fixes import no_cache_counts

DIALECT = Dialect(
    name="mistral_sdk",
    scopes=("mistralai_sdk_tracer", "mistralai"),
    role=semconv.role,
    fields={**semconv.FIELDS, "endpoint": (From("http.url", path),)},
    rules=(Rule("", (no_cache_counts,)),),
)
