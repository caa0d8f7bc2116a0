"""Durations in Go's form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("1m30s", 90),
        ("1h15m30.5s", 4530.5),
        ("0", 0),
        (".5s", 0.5),
        ("-1.5h", -5400),
        ("10µs", 1e-5),
        ("3ns", 3e-9),
    ],
)
def test_parses_as_go_does(text: str, seconds: float) -> None:
    """Every unit of Go is read, alone and in a row."""
    assert Duration.parse(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("", 'time: invalid duration ""'),
        ("s", 'time: invalid duration "s"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
    ],
)
def test_refuses_in_the_words_of_go(text: str, message: str) -> None:
    """A bare number, an unknown unit and nonsense are told apart."""
    with pytest.raises(ConfigError) as error:
        Duration.parse(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["0s", "200ms", "1.5s", "1m30s", "2h", "1h1s", "10µs", "-5s"])
def test_prints_the_shortest_form(text: str) -> None:
    """What it prints is what a person would write."""
    assert str(Duration.parse(text)) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_what_it_prints_it_reads_again(nanoseconds: int) -> None:
    """Print and parse are inverse to the nanosecond."""
    duration = Duration.parse(f"{nanoseconds}ns")
    assert Duration.parse(str(duration)) == pytest.approx(duration, abs=1e-9)
