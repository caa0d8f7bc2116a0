"""The merge: sealed segments into the database, in one transaction, exactly once, and gone after the commit.

Whoever comes first merges (a file lock elects one process per database) and lets go of the database between batches. Exactly
once holds twice over: by the ledger ``spectra_segments`` and by the ids of the records.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from spectra_otel.errors import StoreBusyError, StoreError
from spectra_otel.exporters.duckdb import database
from spectra_otel.exporters.duckdb.intake import Intake
from spectra_otel.exporters.duckdb.schema import ROW_GROUP
from spectra_otel.exporters.duckdb.spool import Segment, Spool
from spectra_otel.model.store import MergeResult, Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SMALL_BACKLOG = 8_000
"""Rows. Below, merges are small and rare; above, catching up comes first."""

BATCH = ROW_GROUP
"""Rows of one transaction."""

SMALL_SESSION, LARGE_SESSION, LONG_SESSION = 4_096, BATCH, 2 * BATCH
"""Rows for which the database is kept open: politely, politely with a backlog, and by a command that merges all there is."""

_POLITE_PATIENCE = 2.0
"""Seconds that a polite merge knocks for, as readers come and go; to knock does not keep anybody out."""

BATCH_BYTES = 24 << 20
"""Bytes of one transaction, for records that carry content."""

SESSION_BYTES = 2 * BATCH_BYTES
"""Bytes of segments that are read before the database is opened; what they become waits in memory."""

LONGEST_HOLD = 0.3
"""Seconds that a merge of a small backlog should keep the file from others."""

WINDOW_SECONDS, HOLD_SHARE = 5.0, 0.2
"""Merges of a small backlog have the file for this share of any so many seconds."""

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
        self._small_session = SMALL_SESSION
        self.stopping = False
        """Set by another thread: :meth:`merge_all` ends soon, and the rest waits for the next."""
        self.held = 0.0
        """Seconds that the last session kept the database from others."""
        self._staging = 0.0
        """Seconds that reading the segments of the last session took."""
        self.is_behind = False
        """Whether the last polite merge found a large backlog: more comes in than small merges take."""

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
                while not self.stopping and (segments := [s for s in self._spool.sealed() if s.name <= there[-1].name]):
                    result += self._merge_session(segments, LONG_SESSION, patience)
                    if progress:
                        progress(result.new, result.new + result.pending)
        except MergeInProgressError:
            result.pending = sum(segment.rows for segment in self._spool.sealed())
        return result

    def merge_politely(self) -> MergeResult | None:
        """Merge one batch if it is time to, and say when the next may be. None if another process is at it or it is too early.

        Backlog under 8,000 rows: at most 4,096 rows, or what took 300 ms before; then a pause, so that readers have the file
        for 80 % of any five seconds. Above: about 16,384 rows at once, then a pause as long as the hold; what is left
        of such a backlog in the end is merged at once, too.
        """
        if self.due() > 0:
            self.is_behind = False
            return None
        was_behind, self.is_behind = self.is_behind, False
        lead = self._staging if was_behind else 0.0
        try:
            with merge_lock(self._spool, 0):
                segments = self._spool.sealed()
                if not segments or self._pace.wait() > lead:
                    return None
                is_behind = sum(segment.rows for segment in segments) >= SMALL_BACKLOG
                small = not (is_behind or was_behind)
                rows = self._small_session if small else LARGE_SESSION
                try:
                    result = self._merge_session(segments, rows, _POLITE_PATIENCE, keeps_pace=True, tidies=small)
                finally:  # a merge that fails, on a full disk say, has kept others out as well
                    self._pace.pause(_courtesy(self.held) if small else self.held)
                self.is_behind = is_behind
                if small:
                    self._adapt()
                return result
        except MergeInProgressError:
            return None

    def wait(self) -> float:
        """Seconds until a polite merge may open the database; may be negative."""
        return self._pace.wait()

    def due(self) -> float:
        """Seconds until :meth:`merge_politely` should be called; may be negative.

        One that is behind reads its segments while the pause lasts: reading keeps nobody from the database.
        """
        return self.wait() - (self._staging if self.is_behind else 0.0)

    def _adapt(self) -> None:
        """Fewer rows next time where the hold was long, as on a slow machine; more again where it was short."""
        if self.held > LONGEST_HOLD:
            self._small_session = max(self._small_session // 2, SMALL_SESSION // 16)
        elif self.held < LONGEST_HOLD / 3:
            self._small_session = min(self._small_session * 2, SMALL_SESSION)

    def _merge_session(
        self, segments: Sequence[Segment], rows: int, patience: float, *, keeps_pace: bool = False, tidies: bool = True
    ) -> MergeResult:
        """Merge the oldest segments, about ``rows`` rows: all are read before the database is opened, once."""
        result, started = MergeResult(), time.monotonic()
        transactions = _transactions(segments, rows)
        with database.workbench(self._path, tidies=tidies) as connection:
            intake = Intake(connection, self._spool)
            batches = [intake.stage(transaction) for transaction in transactions]
            self._staging = time.monotonic() - started
            if keeps_pace:
                time.sleep(max(0.0, self._pace.wait()))
            self.held = 0.0
            began = math.inf
            merged: list[Segment] = []
            try:
                with database.attached(connection, self._path, patience) as began:
                    for staged in batches:
                        result += intake.take(staged)
                        merged += staged.segments
            finally:
                self.held = max(0.0, time.monotonic() - began)
                self._delete(merged)  # not before: to delete files keeps nobody from the database
        result.segments = len(merged)
        result.pending = sum(segment.rows for segment in segments[sum(map(len, transactions)) :])
        return result

    def _delete(self, segments: Sequence[Segment]) -> None:
        try:
            for segment in segments:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self._spool.folder}: {error.strerror}") from error


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
        moment = time.time() + min(seconds, WINDOW_SECONDS)
        with suppress(OSError):  # on a full disk the pace does not matter
            self._path.touch()
            os.utime(self._path, (moment, moment))


def _courtesy(held: float) -> float:
    """Seconds of pause after a hold, so that a series of such holds keeps to its share of any window.

    A window that begins and ends with a hold has one hold more than pauses; hence more than four times the hold.
    """
    spare = HOLD_SHARE * WINDOW_SECONDS - held
    return (1 - HOLD_SHARE) * WINDOW_SECONDS * held / spare if spare > 0 else WINDOW_SECONDS


def _transactions(segments: Sequence[Segment], rows: int) -> list[list[Segment]]:
    """The oldest segments, at least one and no more than ``rows`` rows, as they are merged together: at most a row group each.

    A few rows beyond a row group would lie between whole ones, and DuckDB's checkpoints would write all of them again to close
    the gap.
    """
    found: list[list[Segment]] = []
    rows_of_all = bytes_of_all = rows_of_last = bytes_of_last = 0
    for segment in segments:
        rows_of_all += segment.rows
        bytes_of_all += segment.size
        if found and (rows_of_all > rows or bytes_of_all > SESSION_BYTES):
            break
        rows_of_last += segment.rows
        bytes_of_last += segment.size
        is_full = rows_of_last > BATCH or bytes_of_last > BATCH_BYTES
        if not found or is_full or len(found[-1]) == MOST_SEGMENTS:
            found.append([])
            rows_of_last, bytes_of_last = segment.rows, segment.size
        found[-1].append(segment)
    return found
