"""The merge: sealed segments into the database, in one transaction, exactly once, and gone after the commit.

Whoever comes first merges (a file lock elects one process per database) and lets go of the database between batches. Exactly
once holds twice over: by the ledger ``spectra_segments`` and by the ids of the records.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from spectra_otel.errors import StoreBusyError, StoreError
from spectra_otel.exporters.duckdb import database
from spectra_otel.exporters.duckdb.intake import Intake, sift
from spectra_otel.exporters.duckdb.spool import Segment, Spool
from spectra_otel.model.store import MergeResult, Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SMALL_BACKLOG = 8_000
"""Rows. Below, merges are small and rare; above, catching up comes first."""

SMALL_SESSION, LARGE_SESSION, LONG_SESSION = 4_096, 32_768, 65_536
"""Rows for which the database is kept open: politely, politely with a backlog, and by a command that merges all there is.

Each closing writes the last rows of every table anew, so the longer, the less work in all.
"""
BATCH = 8_192
"""Rows of one transaction: little memory does for them."""

_POLITE_PATIENCE = 2.0
"""Seconds that a polite merge knocks for, as readers come and go; to knock does not keep anybody out."""

BATCH_BYTES = 24 << 20
"""Bytes of one transaction, for records that carry content."""

_LONGEST_PAUSE = 5.0

MOST_SEGMENTS = 2_000
"""Files of one transaction: many tiny segments cost more by the file than by the row."""

_log = logging.getLogger(__name__)


class MergeInProgressError(StoreBusyError):
    """Another process has the merge lock."""


@contextmanager
def merge_lock(spool: Spool, patience: float) -> Iterator[None]:
    """The lock whose holder alone writes to the database. Raises :class:`MergeInProgressError` after ``patience`` seconds."""
    try:
        spool.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(spool.folder / "merge.lock", timeout=patience)
        lock.acquire()
    except Timeout as error:
        raise MergeInProgressError(f"{spool.folder}: another process is merging") from error
    except OSError as error:
        raise StoreError(f"{spool.folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def exclusive(path: Path, spool: Spool, patience: float = database.PATIENCE_SECONDS) -> Iterator[DuckDBPyConnection]:
    """The database open for writing by the only process that may. Raises :class:`StoreBusyError` after ``patience`` seconds."""
    with merge_lock(spool, patience), database.writer(path, patience) as connection:
        yield connection


class Merger:
    """Merges the spool of one database.

    Args:
        path: The DuckDB file.
        spool: Where its segments are.
    """

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path = path
        self._spool = spool
        self._pace = _Pace(spool.folder / "merge.next")
        self.held = 0.0
        """Seconds that the last session kept the database from others."""

    def merge_all(self, progress: Progress | None = None, patience: float = database.PATIENCE_SECONDS) -> MergeResult:
        """Merge until the spool is empty, waiting up to ``patience`` seconds for another process that merges or reads.

        Raises :class:`StoreBusyError` or another :class:`StoreError` where the database cannot be opened.
        """
        self._spool.adopt_orphans()
        result = MergeResult()
        there = self._spool.sealed()
        if not there:
            return result
        try:
            with merge_lock(self._spool, patience):
                # What comes in meanwhile is left for the next merge: a busy collector would keep us here for ever.
                while segments := [s for s in self._spool.sealed() if s.name <= there[-1].name]:
                    result += self._merge_session(segments, LONG_SESSION, patience)
                    if progress:
                        progress(result.new, result.new + result.pending)
        except MergeInProgressError:
            result.pending = sum(segment.rows for segment in self._spool.sealed())
        return result

    def merge_politely(self) -> MergeResult | None:
        """Merge one batch if it is time to, and say when the next may be. None if another process is at it or it is too early.

        Backlog under 8,000 rows: at most 4,096 rows, then a pause of four times the hold, so that readers have the file for
        80 % of the time. Above: up to 32,768 rows at once, then a pause as long as the hold.
        """
        if self._pace.wait() > 0:
            return None
        try:
            with merge_lock(self._spool, 0):
                segments = self._spool.sealed()
                if not segments or self._pace.wait() > 0:
                    return None
                small = sum(segment.rows for segment in segments) < SMALL_BACKLOG
                result = self._merge_session(segments, SMALL_SESSION if small else LARGE_SESSION, _POLITE_PATIENCE)
                self._pace.pause(self.held * (4 if small else 1))
                return result
        except MergeInProgressError:
            return None

    def wait(self) -> float:
        """Seconds until a polite merge may begin; may be negative."""
        return self._pace.wait()

    def _merge_session(self, segments: Sequence[Segment], rows: int, patience: float) -> MergeResult:
        """Merge the oldest segments, about ``rows`` rows, while the database is open once."""
        gathered = self._spool.folder / "merge.gathered"  # one name: what a killed merger left is written over
        result = MergeResult()
        left = list(segments)
        try:
            batch = _take(left, rows)
            sifted = sift(batch, gathered)
            with database.writer(self._path, patience, thrifty=True) as connection:
                began = time.monotonic()
                intake = Intake(connection, self._spool)
                while batch:
                    result += intake.take(sifted)
                    for segment in batch:
                        segment.path.unlink(missing_ok=True)
                    left = left[len(batch) :]
                    result.segments += len(batch)
                    rows -= sum(segment.rows for segment in batch)
                    if batch := _take(left, rows):
                        sifted = sift(batch, gathered)
            self.held = time.monotonic() - began
        except OSError as error:
            raise StoreError(f"{self._spool.folder}: {error.strerror}") from error
        finally:
            gathered.unlink(missing_ok=True)
        result.pending = sum(segment.rows for segment in left)
        return result


class _Pace:
    """When the next polite merge may begin, known to all processes: the modification time of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wait(self) -> float:
        """Seconds until then."""
        try:
            return self._path.stat().st_mtime - time.time()
        except FileNotFoundError:
            return 0.0

    def pause(self, seconds: float) -> None:
        """Nobody merges politely for so long."""
        moment = time.time() + min(seconds, _LONGEST_PAUSE)
        with suppress(OSError):  # on a full disk the pace does not matter
            self._path.touch()
            os.utime(self._path, (moment, moment))


def _take(segments: Sequence[Segment], rows: int) -> list[Segment]:
    """The oldest segments that make a transaction, at least one if any row is wanted."""
    batch: list[Segment] = []
    total = size = 0
    for segment in segments[:MOST_SEGMENTS] if rows > 0 else ():
        total += segment.rows
        size += segment.size
        if batch and (total > min(rows, BATCH) or size > BATCH_BYTES):
            break
        batch.append(segment)
    return batch
