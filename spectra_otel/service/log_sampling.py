"""Logs as the OpenTelemetry Collector samples them: of one message, ten in ten seconds, then every hundredth."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from spectra_otel.config.decode import decode
from spectra_otel.config.durations import Duration

_MOST_MESSAGES = 4_096
_TICK = Duration(10)


@dataclass(frozen=True, slots=True)
class Sampling:
    """``service::telemetry::logs::sampling``, named as the collector's."""

    enabled: bool = True
    tick: Duration = _TICK
    initial: int = 10
    """Messages of a kind that are logged in each tick."""
    thereafter: int = 100
    """Of further ones, every such; 0 for none."""

    @classmethod
    def read(cls, logs: Mapping[str, Any]) -> Sampling:
        """From the settings of ``logs``. Raises :class:`ConfigError`."""
        return decode(logs.get("sampling"), cls(), "service::telemetry::logs::sampling")


class Sampler(logging.Filter):
    """Lets through what is sampled. Messages are of a kind where level and text before its values are the same."""

    def __init__(self, sampling: Sampling, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._sampling = sampling
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[tuple[int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now, sampling = (record.levelno, str(record.msg)), self._clock(), self._sampling
        with self._lock:
            ends, count = self._seen.get(kind, (0.0, 0))
            if now >= ends:
                ends, count = now + float(sampling.tick), 0
                if len(self._seen) >= _MOST_MESSAGES:
                    self._seen.clear()
            count += 1
            self._seen[kind] = ends, count
        over = count - sampling.initial
        return over <= 0 or (sampling.thereafter > 0 and over % sampling.thereafter == 0)
