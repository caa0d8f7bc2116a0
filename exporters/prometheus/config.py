"""Settings of the ``prometheus`` exporter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.service.exposition import split_endpoint


@dataclass(slots=True)
class PrometheusConfig:
    """Settings of the ``prometheus`` exporter, named as the collector's."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        (
            "enable_open_metrics",
            "resource_to_telemetry_conversion",
            "send_timestamps",
            "sending_queue",
            "without_scope_info",
        )
    )

    endpoint: str = ""
    """Where ``/metrics`` is served, such as ``localhost:8889``."""
    namespace: str = ""
    """Put before every name."""
    const_labels: dict[str, str] = field(default_factory=dict)
    metric_expiration: Duration = Duration(300)  # noqa: RUF009  (durations are immutable)
    """A series that has not changed for so long is left out until it does, and goes on from what it was."""
    translation_strategy: Literal["UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes"] = (
        "UnderscoreEscapingWithSuffixes"
    )
    """Whether names end in their unit and ``_total``."""
    max_series: int = 2000
    """Users, tags, and kinds of calls, with a series of their own; further ones are summed under ``otel_metric_overflow``."""

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        if not self.endpoint:
            raise ConfigError("expecting a non-empty endpoint")
        split_endpoint(self.endpoint)
        if self.max_series < 1:
            raise ConfigError(f"max_series: got '{self.max_series}', valid: 1 or more")
