"""Writers of one file, one after the other: a lock of the operating system that wakes the next one at once.

SQLite makes a second writer sleep and look again, up to a tenth of a second; under load that is most of what a caller waits. The
database's own lock still is what keeps it right: this one only makes queueing quick, and holds without it where it is missing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


STREAK_SECONDS = 0.001
"""How long a process may come back to a free turnstile past those that wait: handing over each time costs a third of the pace."""


class Turnstile:
    """A lock between processes. Threads of one process must agree by a lock of their own.

    Two locks make the queue: whoever waits holds the first while it waits for the second, so a process that comes back too
    soon stands behind it.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turn = os.open(path, flags, 0o600)
        self._queue = os.open(path.with_name(path.name + "-queue"), flags, 0o600)
        self._streak = 0.0

    def enter(self, wait: bool) -> bool:
        """Take it; False where it is taken and ``wait`` is false."""
        if fcntl is None:
            return True
        if not wait:
            return _try(self._turn)
        now = time.monotonic()
        if now - self._streak < STREAK_SECONDS and _try(self._turn):
            return True
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        self._streak = time.monotonic()
        return True

    def leave(self) -> None:
        """Give it back."""
        if fcntl is not None:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files; in a forked child that leaves the parent's hold as it is."""
        os.close(self._turn)
        os.close(self._queue)


def _try(file: int) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
