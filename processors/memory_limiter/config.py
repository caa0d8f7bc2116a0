"""Settings of `memory_limiter`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError


@dataclass(slots=True)
class MemoryLimiterConfig:
    """Settings of the `memory_limiter` processor, named as the collector's."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        ("min_gc_interval_when_soft_limited", "min_gc_interval_when_hard_limited")
    )

    check_interval: Duration = Duration(0)  # noqa: RUF009  (durations are immutable)
    limit_mib: int = 0
    spike_limit_mib: int = 0
    """MiB below the limit from which on requests are refused; 0: a fifth of the limit."""
    limit_percentage: int = 0
    """Percent of the machine's memory, or of the container's limit; for where `limit_mib` is 0."""
    spike_limit_percentage: int = 0

    def validate(self) -> None:
        """Raise ConfigError, in the collector's words."""
        if self.check_interval <= 0:
            raise ConfigError("'check_interval' must be greater than zero")
        if self.limit_mib <= 0 and self.limit_percentage <= 0:
            raise ConfigError("'limit_mib' or 'limit_percentage' must be greater than zero")
        if self.limit_percentage > 100 or self.spike_limit_percentage > 100:
            raise ConfigError(
                "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred"
            )
        if self.limit_mib and self.spike_limit_mib >= self.limit_mib:
            raise ConfigError("'spike_limit_mib' must be smaller than 'limit_mib'")
        if not self.limit_mib and self.spike_limit_percentage >= self.limit_percentage:
            raise ConfigError("'spike_limit_percentage' must be smaller than 'limit_percentage'")
