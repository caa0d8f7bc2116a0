"""Child processes for the tests of the store: forked, because a fresh interpreter for each of 200 kills takes too long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple


def child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process that leaves without clean-up; its exit status is 1 if ``work`` raised."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """Exit status of a child; negative: the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    """kill -9, at once, without a goodbye."""
    os.kill(pid, signal.SIGKILL)
    wait(pid)


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether ``condition`` comes true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


class Acknowledgements:
    """The log of one client: a line for each record that it was told is stored. A kill tears at most the last line."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *ids: str) -> None:
        os.write(self._descriptor, "".join(f"{id}\n" for id in ids).encode())


def acknowledged(folder: Path) -> set[str]:
    """All ids in the logs of ``folder``, without a torn last line."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text().splitlines(keepends=True)]
    return {line.strip() for line in lines if line.endswith("\n")}


class Hold(NamedTuple):
    """A process kept the database from others: from ``began`` to ``end``, in seconds of the clock that all processes share."""

    began: float
    end: float
    worked: float
    """Seconds of processor time it used for that: a process that shares its core with others holds longer, and works no more."""


class Holds:
    """When processes kept the database from others: a line for each time that one had it open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    def noting(
        self, opening: Callable[..., AbstractContextManager[float]]
    ) -> Callable[..., AbstractContextManager[float]]:
        """``opening``, which yields the moment since when the database is held, with a note of that and of the end."""

        @contextmanager
        def noted(*args: object) -> Iterator[float]:
            with opening(*args) as began:
                working = time.thread_time()
                yield began
            hold = Hold(began, time.monotonic(), time.thread_time() - working)
            with self._path.open("ab", buffering=0) as file:
                file.write(f"{' '.join(map(str, hold))}\n".encode())

        return noted

    def noted(self) -> list[Hold]:
        """All of them, in order."""
        return sorted(Hold(*map(float, line.split())) for line in self._path.read_text().splitlines())


def most_held(holds: Sequence[Hold], window: float) -> float:
    """The most seconds that ``holds`` take of any window of so many seconds: one that begins with a hold has the most."""
    return max(
        sum(max(0.0, min(hold.end, first.began + window) - hold.began) for hold in holds if hold.began >= first.began)
        for first in holds
    )
