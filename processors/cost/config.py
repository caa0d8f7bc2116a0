"""Settings of `cost`."""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra_otel.errors import ConfigError


@dataclass
class Config:
    """Which prices, and in which currency."""

    prices: list[str] = field(default_factory=list)
    """Files of price overrides; none: those that SPECTRA_PRICES names."""
    currency: str = "USD"
    """Currency of all amounts."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for prices that are no list of files, or a currency we cannot count in."""
        if not isinstance(self.prices, list) or not all(isinstance(path, str) and path for path in self.prices):
            raise ConfigError(f"prices: must be a list of files, got {self.prices!r}")
        if self.currency != "USD":
            raise ConfigError(f"currency: must be USD, got {self.currency!r}")
