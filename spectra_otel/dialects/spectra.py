"""Spans of our own instrumentors: the semantic conventions and `spectra.*`."""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect

DIALECT = Dialect(
    name="spectra", scopes=("spectra_otel",), keys=("spectra.usage.",), role=semconv.role, fields=semconv.FIELDS
)
