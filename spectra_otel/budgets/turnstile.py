"""Writers of one file, one after the other: a lock of the operating system that wakes the next one at once.

SQLite makes a second writer sleep and look again, up to a tenth of a second; under load that is most of what a caller waits. The
database's own lock still is what keeps it right: this one only makes queueing quick, and holds without it where it is missing,
or where a process that has it is stopped.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


STREAK_SECONDS = 0.001
"""How long a process may come back to a free turnstile past those that wait: handing over each time costs a third of the pace."""
WAIT_SECONDS = 2.0
"""How long anybody waits for it. Whoever has had it longer is stopped, and the others go on without it."""


class Turnstile:
    """A lock between processes. Threads of one process must agree by a lock of their own.

    Two locks make the queue: whoever waits holds the first while it waits for the second, so a process that comes back too
    soon stands behind it. The system's call has no limit of time, so a thread makes it for callers that have one.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turn = os.open(path, flags, 0o600)
        self._queue = os.open(path.with_name(path.name + "-queue"), flags, 0o600)
        self._streak = 0.0
        self._keeper: _Keeper | None = None

    def enter(self, wait: bool) -> bool:
        """Take it, or go on without it after :data:`WAIT_SECONDS`; False where it is taken and ``wait`` is false."""
        if fcntl is None:
            return True
        if not wait:
            return _try(self._turn)
        now = time.monotonic()
        if now - self._streak < STREAK_SECONDS and _try(self._turn):
            return True
        if _try(self._queue) and _try(self._turn):
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        else:
            self._keeper = self._keeper or _Keeper(self._turn, self._queue)
            self._keeper.wait()
        self._streak = time.monotonic()
        return True

    def leave(self) -> None:
        """Give it back, if it was to be had."""
        if fcntl is not None:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        if self._keeper is None or self._keeper.end():
            self.abandon()

    def abandon(self) -> None:
        """Close the files of a forked child, where that leaves the parent's hold as it is."""
        os.close(self._turn)
        os.close(self._queue)


class _Keeper:
    """A thread that waits in the queue in place of callers, who give up after a while."""

    def __init__(self, turn: int, queue: int) -> None:
        self._turn, self._queue = turn, queue
        self._agree = threading.Lock()
        self._asked, self._got = threading.Lock(), threading.Lock()
        self._asked.acquire()
        self._got.acquire()
        self._is_out = self._is_wanted = self._is_over = False
        try:
            threading.Thread(target=self._run, name="spectra-turnstile", daemon=True).start()
        except RuntimeError:  # the interpreter goes down: nobody waits any more
            self._is_out = True

    def wait(self) -> None:
        """Have the turn, or give it up. One caller at a time."""
        with self._agree:
            if self._is_out:  # for somebody before, who gave it up
                return
            self._is_out = self._is_wanted = True
        self._asked.release()
        try:
            self._got.acquire(timeout=WAIT_SECONDS)
        finally:
            with self._agree:
                self._is_wanted = False
                if not self._is_out:
                    self._got.acquire(blocking=False)

    def end(self) -> bool:
        """Have the thread go; False where it is waiting, and closes the files itself when that is over."""
        with self._agree:
            self._is_over = True
            if not self._is_out:
                self._asked.release()
            return not self._is_out

    def _run(self) -> None:
        assert fcntl is not None
        while True:
            self._asked.acquire()
            if self._is_over:
                return
            fcntl.flock(self._queue, fcntl.LOCK_EX)
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            fcntl.flock(self._queue, fcntl.LOCK_UN)
            with self._agree:
                self._is_out = False
                if self._is_wanted:
                    self._got.release()
                else:
                    fcntl.flock(self._turn, fcntl.LOCK_UN)
                if self._is_over:
                    os.close(self._turn)
                    os.close(self._queue)
                    return


def _try(file: int) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
