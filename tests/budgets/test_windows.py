"""Windows: days as long as the calendar has them, and a clock that goes back finds what it had counted."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_otel.budgets.windows import read_period, read_zone, window_at
from spectra_otel.errors import ConfigError

BERLIN, BEIRUT = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Beirut")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def hours(moment: str, period: str, zone: ZoneInfo = BERLIN) -> float:
    window = window_at(at(moment), period, zone)
    assert window.end is not None
    return (window.end - window.start) / 3600


@pytest.mark.parametrize(
    ("moment", "length"),
    [("2026-03-29T12:00+02:00", 23), ("2026-10-25T12:00+01:00", 25), ("2026-06-01T12:00+02:00", 24)],
)
def test_a_day_is_as_long_as_the_calendar_has_it(moment: str, length: int) -> None:
    """23 hours where clocks go forward, 25 where they go back."""
    assert hours(moment, "daily") == length


def test_both_hours_that_a_clock_shows_twice_are_one_day() -> None:
    """Half past two happens twice on the day clocks go back; both are of that day, and of two hours."""
    first, second = at("2026-10-25T02:30+02:00"), at("2026-10-25T02:30+01:00")
    assert window_at(first, "daily", BERLIN) == window_at(second, "daily", BERLIN)
    assert window_at(first, "hourly", BERLIN) != window_at(second, "hourly", BERLIN)


def test_a_midnight_that_is_skipped_begins_its_day_when_clocks_change() -> None:
    """In Beirut clocks went from 24:00 to 01:00: the day begins at that moment, and the one before ends there."""
    change = at("2022-03-27T00:00+02:00")
    assert window_at(change, "daily", BEIRUT).start == change
    assert window_at(change - 1, "daily", BEIRUT).end == change


def test_a_midnight_that_comes_twice_begins_its_day_once() -> None:
    """In Newfoundland clocks went from 00:01 back to 23:01: the day that had begun goes on, and the one before has ended."""
    zone, midnight = ZoneInfo("America/St_Johns"), at("2003-10-26T00:00-02:30")
    for moment in (midnight, midnight + 59, midnight + 61, midnight + 3600):
        assert window_at(moment, "daily", zone).start == midnight
    assert window_at(midnight - 1, "daily", zone).end == midnight


def test_a_day_that_is_left_out_has_no_window() -> None:
    """Samoa had no 30 December 2011: the 29th ends where the 31st begins."""
    zone = ZoneInfo("Pacific/Apia")
    new_year = window_at(at("2011-12-31T12:00+14:00"), "daily", zone)
    assert window_at(at("2011-12-29T12:00-10:00"), "daily", zone).end == new_year.start == at("2011-12-31T00:00+14:00")


@pytest.mark.parametrize(
    ("moment", "days"),
    [("2026-01-31T23:59:59Z", 31), ("2028-02-29T12:00Z", 29), ("2027-02-28T12:00Z", 28), ("2026-12-31T23:59Z", 31)],
)
def test_a_month_is_as_long_as_it_is(moment: str, days: int) -> None:
    """Month ends, leap days and the turn of the year."""
    assert hours(moment, "monthly", ZoneInfo("UTC")) == days * 24


def test_a_week_begins_on_the_day_that_is_asked_for() -> None:
    """The same Sunday is the last day of one week and the first of another."""
    sunday = at("2026-11-22T12:00Z")
    assert window_at(sunday, "weekly", UTC, "monday").starts_at == datetime(2026, 11, 16, tzinfo=UTC)
    assert window_at(sunday, "weekly", UTC, "sunday").starts_at == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_day_in_another_zone_is_another_window() -> None:
    """Half past eleven in UTC is tomorrow in Auckland."""
    moment = at("2026-11-21T23:30Z")
    assert window_at(moment, "daily", ZoneInfo("Pacific/Auckland")) != window_at(moment, "daily", UTC)


@given(
    st.floats(min_value=0, max_value=4e9),
    st.sampled_from(["hourly", "daily", "weekly", "monthly", "90s", "7200s"]),
    st.sampled_from(
        [
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Beirut",
            "America/Havana",
            "America/St_Johns",
            "America/Nuuk",
            "Pacific/Apia",
            "Africa/Casablanca",
            "Asia/Kathmandu",
        ]
    ),
)
def test_every_moment_is_in_its_window_and_windows_meet(moment: float, period: str, zone: str) -> None:
    """A moment is in the window it gives; the next window begins where this one ends, and its first second agrees."""
    window = window_at(moment, period, read_zone(zone))
    assert window.end is not None
    assert window.start <= moment < window.end
    assert window_at(window.start, period, read_zone(zone)) == window
    assert window_at(window.end, period, read_zone(zone)).start == window.end


@pytest.mark.parametrize("value", ["yearly", "0", 0, -5, "5x", True, None, ""])
def test_a_period_that_is_none_is_refused_with_those_that_are(value: object) -> None:
    """One line names the value and what is valid."""
    with pytest.raises(ConfigError, match=r"period: got .*valid: hourly, daily"):
        read_period(value)


def test_a_zone_that_is_none_is_refused() -> None:
    """One line names the value and what is valid."""
    with pytest.raises(ConfigError, match="timezone: got 'Mars/Olympus', valid: UTC or a name of the IANA"):
        read_zone("Mars/Olympus")
