"""The spans that the `mistralai` SDK emits by itself.

They count no cached tokens, and a refused call leaves no sign but its emptiness.
"""

from __future__ import annotations

from typing import Any

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, From, Rule
from spectra_otel.dialects._fixes import no_cache_counts


def streams(url: Any) -> bool | None:
    """The SDK marks a streamed call by a fragment of its own: `…/chat/completions#stream`."""
    return True if str(url).endswith("#stream") else None


DIALECT = Dialect(
    name="mistral_sdk",
    scopes=("mistralai_sdk_tracer", "mistralai"),
    role=semconv.role,
    fields={**semconv.FIELDS, "is_streaming": (From("http.url", streams),)},
    rules=(Rule("", (no_cache_counts,)),),
)
