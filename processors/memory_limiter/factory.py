"""The factory of `memory_limiter`, and the processor."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.processors.memory_limiter.config import MemoryLimiterConfig
from spectra_otel.service.telemetry import resident_bytes

_MIB = 1 << 20
_CGROUP = Path("/sys/fs/cgroup/memory.max")


class MemoryLimiter:
    """Refuses new requests while the process has more memory than its soft limit.

    Inside an application it changes nothing: what waits there is bounded by number, and nobody can be asked to come back.
    """

    def __init__(self, config: MemoryLimiterConfig) -> None:
        hard = config.limit_mib * _MIB or total_bytes() * config.limit_percentage // 100
        spike = config.spike_limit_mib * _MIB or hard * (config.spike_limit_percentage or 20) // 100
        self._soft, self._hard = hard - spike, hard
        self._interval = float(config.check_interval)
        self._next = 0.0
        self._used = 0
        self._lock = Lock()

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans."""
        return spans

    def refusal(self) -> str | None:
        """Why nothing more is taken now; None if it is. Looks at most once an interval."""
        with self._lock:
            if time.monotonic() >= self._next:
                self._check()
            return "data refused due to high memory usage" if self._used > self._soft else None

    def _check(self) -> None:
        self._next = time.monotonic() + self._interval
        self._used = resident_bytes()
        if self._used > self._soft:
            give_back()
            self._used = resident_bytes()


def give_back() -> None:
    """Give memory that is free back to the system: what the allocator keeps counts as ours."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not the GNU C library
        return


def total_bytes() -> int:
    """The memory this process may have: the container's limit, else what the machine has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(text)) if text.isdecimal() else machine


def factory() -> Factory[MemoryLimiterConfig, MemoryLimiter]:
    """Make the factory."""
    return Factory("memory_limiter", Stability.BETA, MemoryLimiterConfig, _create, claimed_only=True, every_signal=True)


def _create(id_: ComponentID, config: MemoryLimiterConfig) -> MemoryLimiter:
    return MemoryLimiter(config)
