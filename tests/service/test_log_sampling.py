"""A collector in trouble does not fill the disk with one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import pytest

from spectra_otel.errors import ConfigError
from spectra_otel.service import log_sampling
from spectra_otel.service.log_sampling import Sampler, Sampling


def line(text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("spectra_otel", level, __file__, 1, text, ("value",), None)


@pytest.fixture
def time() -> list[float]:
    """The time, in seconds."""
    return [100.0]


@pytest.fixture
def sampler(time: list[float]) -> Callable[..., Sampler]:
    return lambda **settings: Sampler(Sampling.read({"sampling": settings}), lambda: time[0])


def test_ten_in_ten_seconds_then_every_hundredth(sampler: Callable[..., Sampler], time: list[float]) -> None:
    """By level and message, whatever its values; ten seconds later anew."""
    sampled = sampler()
    passed = [number for number in range(1, 311) if sampled.filter(line("failed %s"))]
    assert passed == [*range(1, 11), 110, 210, 310]
    assert sampled.filter(line("other %s"))
    assert sampled.filter(line("failed %s", logging.WARNING))
    time[0] += 9.9
    assert not sampled.filter(line("failed %s"))
    time[0] += 0.2
    assert sum(sampled.filter(line("failed %s")) for _ in range(50)) == 10


def test_settings_are_the_collectors(sampler: Callable[..., Sampler], time: list[float]) -> None:
    """`tick`, `initial`, `thereafter`; nothing further where that is 0."""
    sampled = sampler(tick="1m", initial=1, thereafter=0)
    assert [sampled.filter(line("x")) for _ in range(300)].count(True) == 1
    time[0] += 59
    assert not sampled.filter(line("x"))
    with pytest.raises(ConfigError, match="'service::telemetry::logs::sampling' has invalid keys: often"):
        sampler(often=3)


def test_messages_of_many_kinds_are_forgotten(sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts with a value in them do not fill the memory."""
    monkeypatch.setattr(log_sampling, "_MOST_MESSAGES", 20)
    sampled = sampler()
    size = sys.getsizeof(sampled._seen)
    for number in range(1000):
        assert sampled.filter(line(f"{number}"))
    assert len(sampled._seen) <= 20
    assert sys.getsizeof(sampled._seen) < size + 5_000
