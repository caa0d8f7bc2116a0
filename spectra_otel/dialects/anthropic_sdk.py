"""The spans that the `anthropic` SDK (2 and later) emits by itself."""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect

DIALECT = Dialect(
    name="anthropic_sdk",
    scopes=("com.anthropic.sdk",),
    role=semconv.role,
    fields={
        **semconv.FIELDS,
        "finish_reason": ("anthropic.message.stop_reason",),
        "pricing_tier": ("spectra.pricing_tier", "anthropic.response.service_tier"),
        "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    },
)
