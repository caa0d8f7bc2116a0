"""Settings of `cost`."""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra_otel.errors import ConfigError
from spectra_otel.pricing.fx import is_currency


@dataclass
class Config:
    """Which prices, and in which currency."""

    prices: list[str] = field(default_factory=list)
    """Files of price overrides; none: those that SPECTRA_PRICES names."""
    currency: str = "USD"
    """Currency of all amounts, ISO 4217."""
    fx_rates: str = ""
    """File of exchange rates; none: the one that SPECTRA_FX_RATES names, else the shipped one."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for prices that are no list of files, or a currency we cannot count in."""
        if not isinstance(self.prices, list) or not all(isinstance(path, str) and path for path in self.prices):
            raise ConfigError(f"prices: must be a list of files, got {self.prices!r}")
        if not is_currency(self.currency):
            raise ConfigError(f"currency: must be a code of ISO 4217, such as USD or EUR, got {self.currency!r}")
        if not isinstance(self.fx_rates, str):
            raise ConfigError(f"fx_rates: must be a file, got {self.fx_rates!r}")
