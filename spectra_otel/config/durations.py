"""Durations as Go writes them (``200ms``, ``1m30s``): the form every collector setting of that kind has."""

from __future__ import annotations

import re
from decimal import Decimal

from spectra_otel.errors import ConfigError

_SECONDS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),  # U+00B5, micro sign
    "μs": Decimal("1e-6"),  # U+03BC, Greek mu
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")


class Duration(float):
    """A length of time in seconds that is written, and prints, in Go's form."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Parse ``1h15m30.5s``. Raises :class:`ConfigError` in the words of Go's ``time.ParseDuration``."""
        unsigned = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
        if unsigned == "0":
            return cls(0)
        total = Decimal(0)
        position = 0
        while position < len(unsigned):
            part = _PART.match(unsigned, position)
            if part is None:
                raise ConfigError(f'time: invalid duration "{text}"')
            number, unit = part.groups()
            if not unit:
                raise ConfigError(f'time: missing unit in duration "{text}"')
            if unit not in _SECONDS:
                raise ConfigError(f'time: unknown unit "{unit}" in duration "{text}"')
            total += Decimal(number) * _SECONDS[unit]
            position = part.end()
        if position == 0:
            raise ConfigError(f'time: invalid duration "{text}"')
        return cls(-total if text.startswith("-") else total)

    def __str__(self) -> str:
        """The shortest Go form: ``1m30s``, ``200ms``, ``0s``."""
        nanoseconds = round(Decimal(float(self)) * 10**9)
        sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
        if 0 < rest < 10**9:
            unit, size = next((u, s) for u, s in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if rest >= s)
            return f"{sign}{_plain(rest, size)}{unit}"
        hours, rest = divmod(rest, 3600 * 10**9)
        minutes, rest = divmod(rest, 60 * 10**9)
        parts = [f"{hours}h"] * bool(hours) + [f"{minutes}m"] * bool(minutes)
        if rest or not parts:
            parts.append(f"{_plain(rest, 10**9)}s")
        return sign + "".join(parts)

    __repr__ = __str__


def _plain(nanoseconds: int, size: int) -> str:
    """``nanoseconds / size`` without exponent and without trailing zeros."""
    text = f"{Decimal(nanoseconds) / size:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
