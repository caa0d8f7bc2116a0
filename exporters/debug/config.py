"""Settings of the ``debug`` exporter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spectra_otel.sdk.span_export import SpanSettings


@dataclass(slots=True)
class DebugConfig(SpanSettings):
    """Settings of the ``debug`` exporter."""

    verbosity: Literal["basic", "normal", "detailed"] = "basic"
    """``basic``: a line per batch; ``normal``: a line per span; ``detailed``: a line per attribute."""
