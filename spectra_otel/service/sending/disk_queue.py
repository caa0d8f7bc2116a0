"""Requests that wait, each a file of its own, synced before it counts: what was queued survives ``kill -9``.

A file is written under ``*.open`` and renamed to ``<time>-<number>.<items>.<signal>`` when it is whole. It is removed when the
request was sent or given up, so after a crash a request that was under way is sent again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from filelock import FileLock, Timeout

from spectra_otel.errors import SpectraError
from spectra_otel.otlp.signals import SIGNALS, Signal
from spectra_otel.service.sending.config import QueueBatch

_OPEN = ".open"
_MOST_FOLDERS = 64


class QueueFullError(SpectraError):
    """There is no room in the queue; transient."""

    transient = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue."""

    path: Path
    signal: Signal
    items: int
    size: int

    def read(self) -> bytes:
        """Its protobuf bytes."""
        return self.path.read_bytes()

    def weight(self, sizer: str) -> int:
        """What it counts for against ``queue_size``."""
        return {"requests": 1, "items": self.items, "bytes": self.size}[sizer]


class DiskQueue:
    """A first-in, first-out queue in a folder that no other process uses at the time.

    Args:
        folder: Made where it is not there; a second process takes ``<folder>-2`` and so on.
        limit: What may wait, counted as ``sizer`` says (requests, items, bytes).
    """

    def __init__(self, folder: Path, limit: int, sizer: str = "requests") -> None:
        self._folder, self._lock_file = _own_folder(folder)
        self._limit, self._sizer = limit, sizer
        self._changed = Condition()
        self._closed = False
        self._number = 0
        self._items: deque[Waiting] = deque(_found(self._folder))
        self._weight = sum(item.weight(sizer) for item in self._items)

    @property
    def size(self) -> int:
        """What waits or is under way, as the limit counts it."""
        return self._weight

    @property
    def limit(self) -> int:
        """``queue_size``."""
        return self._limit

    def put(self, signal: Signal, body: bytes, items: int, *, patience: float = 0.0) -> None:
        """Queue a request; on disk when this returns. Raises :class:`QueueFullError` or the OSError of a full disk."""
        weight = {"requests": 1, "items": items, "bytes": len(body)}[self._sizer]
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: not self._weight or self._weight + weight <= self._limit, patience
            )
            if not has_room:
                raise QueueFullError("sending queue is full")
            self._weight += weight
            self._number += 1
            name = f"{time.time_ns():019d}-{self._number:06d}.{items}.{signal.name}"
        try:
            waiting = Waiting(self._write(name, body), signal, items, len(body))
        except BaseException:
            with self._changed:
                self._weight -= weight
            raise
        with self._changed:
            self._items.append(waiting)
            self._changed.notify_all()

    def _write(self, name: str, body: bytes) -> Path:
        try:
            return _write(self._folder / name, body)
        except FileNotFoundError:  # somebody removed the folder, and what waited in it
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _write(self._folder / name, body)

    def take(self) -> Waiting | None:
        """The oldest request, when there is one; None when the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            return None if self._closed else self._items.popleft()

    def take_batch(self, batch: QueueBatch) -> list[Waiting]:
        """The oldest requests of one signal that make a batch; none when the queue was closed. For one thread at a time."""
        if (first := self.take()) is None:
            return []
        found, size = [first], first.weight(batch.sizer)
        deadline = time.monotonic() + float(batch.flush_timeout)
        with self._changed:
            while size < batch.min_size and not self._closed:
                if not self._items:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._changed.wait_for(lambda: self._items or self._closed, left):
                        break
                    continue
                weight = self._items[0].weight(batch.sizer)
                if self._items[0].signal is not first.signal or 0 < batch.max_size < size + weight:
                    break
                found.append(self._items.popleft())
                size += weight
        return found

    def done(self, item: Waiting) -> None:
        """The request was sent or given up: forget it."""
        with suppress(FileNotFoundError):
            item.path.unlink()
        with self._changed:
            self._weight -= item.weight(self._sizer)
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._weight

    def wait_until_idle(self, patience: float) -> bool:
        """Whether everything was sent within ``patience`` seconds."""
        with self._changed:
            return self._changed.wait_for(self.is_idle, patience)

    def close(self) -> None:
        """Give nothing out any more; what waits stays on disk for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def release(self) -> None:
        """Let the next process have the folder."""
        self._lock_file.release()


def abandoned(folders: Path) -> Iterator[tuple[Path, int]]:
    """Queues below ``folders`` with requests that no process is about to send, and how many those are."""
    try:
        found = sorted(folders.iterdir())
    except OSError:  # not there, or not for us to see
        return
    for folder in found:
        with suppress(Timeout, OSError):  # in use; no folder, or none of ours
            waiting = sum(path.suffix.removeprefix(".") in SIGNALS for path in folder.iterdir())
            if waiting:
                with FileLock(folder / "lock").acquire(timeout=0):
                    yield folder, waiting


def _own_folder(folder: Path) -> tuple[Path, FileLock]:
    for number in range(1, _MOST_FOLDERS):
        chosen = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(chosen / "lock", thread_local=False)  # released by another thread than this one
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return chosen, lock
    raise OSError(f"{folder}: in use by {_MOST_FOLDERS} processes")


def _found(folder: Path) -> list[Waiting]:
    """What an earlier process left; a file that is not whole was never acknowledged."""
    found: list[Waiting] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == _OPEN:
            path.unlink(missing_ok=True)
            continue
        _, _, rest = path.name.partition(".")
        items, _, name = rest.partition(".")
        if name in SIGNALS and items.isdecimal():
            found.append(Waiting(path, SIGNALS[name], int(items), path.stat().st_size))
    return found


def _write(path: Path, body: bytes) -> Path:
    opened = path.with_name(path.name + _OPEN)
    try:
        descriptor = os.open(opened, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        opened.rename(path)
    except BaseException:
        opened.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
