"""Windows of time: which one a moment is in, when it began and when the next one does.

A window's start is part of the key its amounts are counted under, so that nothing has to be reset, a restart refills nothing,
and a clock that goes back finds again what it had counted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from spectra_otel.errors import ConfigError

CALENDAR = ("hourly", "daily", "weekly", "monthly", "total")
RUN = "run"
"""The period of a budget that a block of code has to itself."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECONDS = re.compile(r"(\d{1,9})\s*(s|m|h|d|w)?\Z")
_UNIT_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_VALID = f"{', '.join(CALENDAR)}, or seconds such as 90, 90s, 15m, 12h, 7d"


class Window(NamedTuple):
    """``start`` and ``end`` in whole seconds since the epoch; ``end`` is None where the window never ends."""

    start: int
    end: int | None

    @property
    def starts_at(self) -> datetime | None:
        """Its first moment in UTC; None for the window that has always been."""
        return datetime.fromtimestamp(self.start, UTC) if self.end is not None else None

    @property
    def resets_at(self) -> datetime | None:
        """The first moment of the next window in UTC."""
        return datetime.fromtimestamp(self.end, UTC) if self.end is not None else None


def read_period(value: object) -> str:
    """A period in its one spelling: a word of :data:`CALENDAR`, or ``<seconds>s``. Raises :class:`ConfigError`."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in CALENDAR:
            return word
        found = _SECONDS.match(word)
        if found and int(found[1]) > 0:
            return f"{int(found[1]) * _UNIT_SECONDS[found[2]]}s"
    raise ConfigError(f"period: got {value!r}, valid: {_VALID}")


def read_zone(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises :class:`ConfigError`."""
    from zoneinfo import ZoneInfo

    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"timezone: got {name!r}, valid: UTC or a name of the IANA database such as Europe/Berlin"
        ) from None


def window_at(moment: float, period: str, zone: tzinfo = UTC, week_start: str = "monday") -> Window:
    """The window of ``period`` (as :func:`read_period` gives it) that ``moment`` (seconds since the epoch) is in.

    Days, weeks and months begin at midnight in ``zone``, and are as long as the calendar has them: a day of 23 or 25 hours
    where clocks change. Hours and seconds are counted on the clock of UTC.
    """
    if period == "total":
        return Window(0, None)
    if period == "hourly":
        return _of_seconds(moment, 3600)
    if period.endswith("s"):
        return _of_seconds(moment, int(period[:-1]))
    day = datetime.fromtimestamp(moment, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
    if zone is not UTC and moment >= _second(day + timedelta(days=1), zone):
        day += timedelta(days=1)  # its clocks went back past midnight: the day that had begun goes on
    if period == "daily":
        return Window(_second(day, zone), _second(day + timedelta(days=1), zone))
    if period == "weekly":
        first = day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_start)) % 7)
        return Window(_second(first, zone), _second(first + timedelta(days=7), zone))
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Window(_second(first, zone), _second(following, zone))


def _of_seconds(moment: float, length: int) -> Window:
    start = int(moment) // length * length
    return Window(start, start + length)


def _second(midnight: datetime, zone: tzinfo) -> int:
    """The second at which a day begins: the first of its midnights, or where clocks skip it the moment they do.

    A midnight that does not exist is read by the offset before the change, which is the moment of the change itself.
    """
    return int(midnight.replace(tzinfo=zone).timestamp())
