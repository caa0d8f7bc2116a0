"""Exchange rates: a dated table, and the rate of the day a call was made.

The table that comes with the catalog (`data/fx.csv`) has the reference rates of the European Central Bank, one line for each
working day, in units of a currency for one euro. A file of one's own has the same form::

    Date,USD,GBP
    2026-10-29,1.1130,0.83578
    2026-10-30,1.1172,0.83380

A rate holds until the next line. One of up to a week ago is that of the day (weekends, holidays); an older one makes an
amount an estimate; beyond a year there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import NamedTuple

from spectra_otel.pricing.errors import PriceFileError

BASE = "EUR"
FRESH_DAYS, LAST_DAYS = 7, 366
_PLACES = Decimal("0.00000001")
_exact = Context(prec=40, rounding=ROUND_HALF_EVEN)

_CODES = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR
    ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU
    UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217, the codes of money that is in use."""


class FxRate(NamedTuple):
    """``rate`` units of the one currency for one of the other, to 8 places; ``is_old`` where the table has none of that week."""

    rate: Decimal
    is_old: bool


@dataclass(frozen=True)
class FxTable:
    """Rates by day, oldest first: currency → units for one euro."""

    days: tuple[date, ...]
    quotes: tuple[dict[str, Decimal], ...]

    def changes(self) -> Iterator[datetime]:
        """The moments at which a rate is another one, becomes an old one, or is none any more."""
        for day, following in zip(self.days, (*self.days[1:], date.max), strict=True):
            for after in (0, FRESH_DAYS + 1, LAST_DAYS + 1):
                if (following - day).days > after:
                    yield datetime.combine(day + timedelta(after), time(), UTC)

    def rate(self, source: str, target: str, at: date) -> FxRate | None:
        """What one unit of ``source`` is in ``target`` on that day; ``None`` if the table does not say."""
        if source == target:
            return FxRate(Decimal(1), False)
        day = at.astimezone(UTC).date() if isinstance(at, datetime) else at
        place = bisect_right(self.days, day) - 1
        if place < 0 or (day - self.days[place]).days > LAST_DAYS:
            return None
        quotes = self.quotes[place]
        one, other = (Decimal(1) if name == BASE else quotes.get(name) for name in (source, target))
        if one is None or other is None:
            return None
        return FxRate(
            _exact.divide(other, one).quantize(_PLACES, ROUND_HALF_EVEN), (day - self.days[place]).days > FRESH_DAYS
        )


def is_currency(text: object) -> bool:
    """Whether this is an ISO 4217 code."""
    return isinstance(text, str) and text in CURRENCIES


def read_fx(path: Path) -> FxTable:
    """The table in a file. Raises :class:`PriceFileError` with one line naming file, line, value and what is valid."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PriceFileError(
            f"{path}: cannot read the exchange rates: {getattr(error, 'strerror', None) or error}"
        ) from error
    header, *names = (name.strip() for name in (lines[0] if lines else "").split(","))
    names = [name for name in names if name]
    if header != "Date" or not names or not all(map(is_currency, names)) or len(set(names)) < len(names):
        raise PriceFileError(
            f"{path.name}:1: the first line is Date and ISO 4217 codes, each once, such as Date,USD,GBP; got {lines[:1]}"
        )
    rows: dict[date, dict[str, Decimal]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            day, quotes = _row(path.name, number, line, names)
            if day in rows:
                raise PriceFileError(f"{path.name}:{number}: {day} stands here twice")
            rows[day] = quotes
    days = tuple(sorted(rows))
    return FxTable(days, tuple(rows[day] for day in days))


def _row(name: str, number: int, line: str, names: list[str]) -> tuple[date, dict[str, Decimal]]:
    first, *cells = (cell.strip() for cell in line.split(","))
    quotes: dict[str, Decimal] = {}
    try:
        day = date.fromisoformat(first)
        for currency, cell in zip(names, cells, strict=False):
            if cell and cell != "N/A":
                quotes[currency] = Decimal(cell)
    except (ValueError, InvalidOperation) as error:
        raise PriceFileError(
            f"{name}:{number}: {line!r} is not a day and its rates, such as 2026-10-30,1.1172"
        ) from error
    if any(cells[len(names) :]):
        raise PriceFileError(f"{name}:{number}: {line!r} has more rates than there are currencies; decimals have a dot")
    if not quotes or not all(quote.is_finite() and 0 < quote < 10**9 for quote in quotes.values()):
        raise PriceFileError(f"{name}:{number}: {line!r}: a rate is a number above 0, and there is one at least")
    return day, quotes


@cache
def shipped_fx() -> FxTable:
    """The table that came with this version."""
    return read_fx(Path(__file__).with_name("data") / "fx.csv")
