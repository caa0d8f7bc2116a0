"""Langtrace. Anthropic's input is handed on as it is, without what was read from or written to the cache; nothing counts that."""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Rule
from spectra_otel.dialects._fixes import EXCLUSIVE, input_lacks_cache, no_cache_counts, streamed_usage_may_be_guessed

DIALECT = Dialect(
    name="langtrace",
    scopes=("langtrace_python_sdk", "langtrace"),
    role=semconv.role,
    fields=semconv.FIELDS,
    rules=(
        Rule("", (input_lacks_cache,), providers=EXCLUSIVE),
        Rule("", (no_cache_counts, streamed_usage_may_be_guessed)),
    ),
)
