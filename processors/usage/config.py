"""Settings of `usage`."""

from __future__ import annotations

from dataclasses import dataclass

from spectra_otel.errors import ConfigError


@dataclass
class Config:
    """How many calls, and for how long, are remembered to recognise two spans of one response."""

    remember: int = 10_000
    """Calls; at least 1."""
    remember_minutes: int = 10
    """Minutes; at least 1."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for a setting out of range."""
        for name in ("remember", "remember_minutes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}: must be a whole number of 1 or more, got {value!r}")
