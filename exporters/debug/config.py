"""Settings of the ``debug`` exporter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectra_otel.sdk.span_export import SpanSettings


@dataclass(slots=True)
class DebugConfig(SpanSettings):
    """Settings of the ``debug`` exporter."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        ("sampling_initial", "sampling_thereafter", "use_internal_logger", "output_paths", "sending_queue")
    )

    verbosity: Literal["basic", "normal", "detailed"] = "basic"
    """``basic``: a line per batch; ``normal``: a line per span; ``detailed``: a line per attribute."""
