"""Calls whose answer is a job: what they cost is known when a later request asks after it, perhaps in another process.

The call makes its record at once, without usage. The job's id is kept with that record's fields in ``$SPECTRA_HOME/jobs``, one
small file each; who completes the record takes the file away, so that it happens once.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from spectra_otel import faults
from spectra_otel.forks import in_forked_child
from spectra_otel.model.home import home
from spectra_otel.tracking.abandoned import abandoned

Values = dict[str, Any]
KEPT_SECONDS = 30 * 86_400
"""A job that nobody asked after for so long is forgotten."""
_TIMES = ("started_at", "completed_at", "media_expires_at")
_PRUNE_SECONDS = 3600
_MOST_SEEN = 16
"""Jobs of many parts of which those that are recorded are held in memory."""


class Jobs:
    """The jobs that are not done. ``folder`` is made when the first is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._pruned = 0.0
        self._known: dict[str, Values] = {}
        """Those that this process began: found without looking at the disk, also before they are written."""
        self._unwritten: set[str] = set()
        self._seen: dict[str, tuple[int, set[str]]] = {}
        """Parts of jobs that are recorded, and how far their file was read."""
        self._fresh_lock()
        in_forked_child(self._fresh_lock)

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def remember(self, provider: str, job: str, record: Values) -> None:
        """Keep a job with the fields of its record. The file is written elsewhere: a call does not wait for a disk."""
        name = _name(provider, job)
        if len(self._known) >= 1000:
            self._known.pop(next(iter(self._known)))
        self._known[name] = record
        self._unwritten.add(name)
        abandoned.watch()
        abandoned.put(_Writing(self, name, record))

    def find(self, provider: str, job: str) -> Values | None:
        """The fields of the record of a job that is not done; None for one that is, or that nobody began here."""
        name = _name(provider, job)
        known = self._known.get(name)
        if known is not None:
            return dict(known)
        try:
            return _decoded((self._path() / name).read_bytes())
        except (OSError, ValueError):
            return None

    def claim(self, provider: str, job: str) -> bool:
        """Whether the caller is the one who completes the job."""
        name = _name(provider, job)
        with self._lock:
            mine = self._known.pop(name, None)
            if name in self._unwritten:  # done before its file was: there will be none
                self._unwritten.remove(name)
                return True
            try:
                (self._path() / name).unlink()
            except FileNotFoundError:
                return False
            except OSError:
                return mine is not None
            return True

    def seen(self, provider: str, job: str) -> set[str]:
        """Parts of a job that were recorded while others were awaited, here or in another process. Never raises."""
        name = _name(provider, job) + ".seen"
        with self._lock:
            offset, known = self._seen.get(name, (0, set()))
            try:
                with (self._path() / name).open("rb") as file:
                    file.seek(offset)
                    lines = file.read().decode().split("\n")
            except (OSError, ValueError):
                return known
            if len(self._seen) >= _MOST_SEEN:
                self._seen.pop(next(iter(self._seen)))
            known.update(lines[:-1])
            self._seen[name] = offset + sum(len(line) + 1 for line in lines[:-1]), known
            return known

    def add_seen(self, provider: str, job: str, parts: Iterable[str]) -> None:
        """Parts of a job were recorded. What is known of them grows at its end: a job may have a hundred thousand."""
        name = _name(provider, job) + ".seen"
        known = self._seen.setdefault(name, (0, set()))[1]
        known.update(parts)
        abandoned.watch()
        abandoned.put(_Writing(self, name, "".join(f"{part}\n" for part in parts)))

    def append(self, name: str, lines: str) -> None:
        """Add to what is known of a job's parts. Never raises."""
        try:
            self._path().mkdir(parents=True, exist_ok=True)
            with (self._path() / name).open("a") as file:
                file.write(lines)
        except OSError as error:
            faults.report("jobs, parts of a batch may be recorded again", error)

    def write(self, name: str, record: Values) -> None:
        """Write the file of a job, and take old ones away. Never raises."""
        with self._lock:
            if name in self._unwritten:
                self._write(name, self._known.get(name, record))
                self._unwritten.discard(name)

    def _write(self, name: str, record: Values) -> None:
        try:
            folder = self._path()
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f".{name}.{os.getpid()}"
            partial.write_bytes(orjson.dumps(record, default=_plain))
            partial.replace(folder / name)
            if time.time() - self._pruned > _PRUNE_SECONDS:
                self._pruned = time.time()
                _prune(folder)
        except OSError as error:
            faults.report("jobs, what a job costs may stay unknown", error)

    def _path(self) -> Path:
        if self._folder is None:
            self._folder = home() / "jobs"
        return self._folder


class _Writing:
    """A job that waits to be written, or what was recorded of one."""

    def __init__(self, jobs: Jobs, name: str, content: Values | str) -> None:
        self._jobs, self._name, self._content = jobs, name, content

    def close(self) -> None:
        if isinstance(self._content, str):
            self._jobs.append(self._name, self._content)
        else:
            self._jobs.write(self._name, self._content)


def _prune(folder: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    for path in folder.iterdir():
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _name(provider: str, job: str) -> str:
    return hashlib.sha256(f"{provider}\0{job}".encode()).hexdigest()[:40]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


def _decoded(data: bytes) -> Values | None:
    found = orjson.loads(data)
    if not isinstance(found, dict) or "id" not in found:
        return None
    for name in _TIMES:
        if isinstance(found.get(name), str):
            found[name] = datetime.fromisoformat(found[name])
    return found
