"""What budgets count in: money as integers of 1e-8 cent, tokens and requests. Bounds are rounded up, never down."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import NamedTuple

from spectra_otel.errors import ConfigError

UNITS_PER_CENT = 10**8
"""A signed 64-bit integer of these holds 922 million dollars."""
MOST_UNITS = 2**62
MOST_CENTS = 10**9
"""Of one call: ten million dollars."""
MOST_TOKENS = 10**12
_MONEY = re.compile(r"\s*(\$)?\s*([0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)\s*(USD|usd)?\s*\Z")


class Amount(NamedTuple):
    """``cost`` in units of 1e-8 cent, ``tokens`` and ``requests``: what a call takes, or what a budget has counted."""

    cost: int = 0
    tokens: int = 0
    requests: int = 0


class Limit(NamedTuple):
    """What a window may hold, in the units of :class:`Amount`; None is no limit of that kind."""

    cost: int | None = None
    tokens: int | None = None
    requests: int | None = None


def units(cents: Decimal) -> int:
    """Cents as units, rounded up."""
    return int((cents * UNITS_PER_CENT).to_integral_value(ROUND_CEILING))


def cents(amount: int) -> Decimal:
    """Units as cents, exact, with eight decimals as records have them."""
    return Decimal(amount).scaleb(-8)


def parse_money(setting: str, value: object) -> Decimal:
    """US dollars from ``5``, ``5.00``, ``"5.00 USD"`` or ``"$5"``, as cents. Raises :class:`ConfigError` with one line."""
    if isinstance(value, bool):
        raise _bad_money(setting, value)
    if isinstance(value, int | float | Decimal):
        value = str(value)
    found = _MONEY.match(value) if isinstance(value, str) else None
    if found is None:
        raise _bad_money(setting, value)
    try:
        amount = Decimal(re.sub("[,_]", "", found[2])) * 100
    except InvalidOperation:
        raise _bad_money(setting, value) from None
    if not 0 < units(amount) <= MOST_UNITS:
        raise _bad_money(setting, value)
    return amount


def _bad_money(setting: str, value: object) -> ConfigError:
    return ConfigError(f"{setting}: got {value!r}, valid: an amount above 0 such as 5.00 USD")
