"""Taking segments into the database: what is whole at once, what is damaged line by line, nothing twice.

Reading is done before the database is open, because while it is nobody else can open it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import election, line, rollups
from spectra_otel.exporters.duckdb.database import first_line
from spectra_otel.exporters.duckdb.schema import ROW_GROUP
from spectra_otel.exporters.duckdb.spool import Header, Segment, Spool, check, copy, lines_of, rows_of
from spectra_otel.exporters.duckdb.sql import one_row, quoted
from spectra_otel.model.fields import FIELDS
from spectra_otel.model.store import MergeResult

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LEDGER_DAYS = 7
_MOST_DAYS = 40
_SMALLEST_BUFFER = 1 << 20
_SMALL_BYTES = 4 << 20
_BUFFER = 1 << 20
_RELAXED = "1GB"
"""Memory for records that are too large for a thrifty merge."""
_ALIEN = (duckdb.DataError, duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfMemoryException)
"""DuckDB's errors about content, also about too much of it at once; the others are about the disk or the lock."""

_SET_BY_MERGE = ("current_cost_in_cents", "current_cost_status")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that DuckDB can read, and the length of its longest line."""

    path: Path
    longest: int


@dataclass(frozen=True, slots=True)
class Sifted:
    """Segments looked at before the database is opened: whole ones with their headers, damaged ones with the reason."""

    whole: list[tuple[Segment, Header]]
    damaged: list[tuple[Segment, str]]
    gathered: Path
    """The lines of all small whole segments."""

    def files(self) -> list[_File]:
        """What DuckDB has to read to get the rows of the whole ones."""
        small = [header.longest for segment, header in self.whole if segment.size <= _SMALL_BYTES]
        large = [_File(segment.path, header.longest) for segment, header in self.whole if segment.size > _SMALL_BYTES]
        return large + ([_File(self.gathered, max(small))] if small else [])


def sift(segments: Sequence[Segment], gathered: Path) -> Sifted:
    """Check segments and copy the lines of small whole ones to the file ``gathered``.

    DuckDB takes megabytes of memory for each file it reads, and there may be thousands of small ones.
    """
    whole: list[tuple[Segment, Header]] = []
    damaged: list[tuple[Segment, str]] = []
    with gathered.open("wb", buffering=_BUFFER) as file:
        for segment in segments:
            try:
                whole.append((segment, copy(segment, file) if segment.size <= _SMALL_BYTES else check(segment)))
            except FileNotFoundError:  # dropped meanwhile, by the policy of a full spool
                continue
            except ValueError as error:
                damaged.append((segment, str(error)))
    return Sifted(whole, damaged, gathered)


@dataclass(frozen=True, slots=True)
class Staged:
    """Segments whose rows lie in a temporary table, ready to be merged."""

    segments: Sequence[Segment]
    table: str | None
    """None where nothing could be read."""
    damaged: list[tuple[Segment, str]]

    @property
    def names(self) -> list[str]:
        return [segment.name for segment in self.segments]


class Intake:
    """Takes segments into a database.

    Args:
        connection: A :func:`~spectra_otel.exporters.duckdb.database.workbench`; :meth:`take` needs the database attached to it,
            :meth:`stage` does not.
        spool: Where the segments are.
    """

    def __init__(self, connection: DuckDBPyConnection, spool: Spool) -> None:
        self._connection = connection
        self._spool = spool
        self._is_relaxed = False
        self._tables = 0

    def stage(self, segments: Sequence[Segment]) -> Staged:
        """Read segments. Raises :class:`StoreError` where that is not possible now."""
        gathered = self._spool.folder / "merge.gathered"  # one name: what a killed merger left is written over
        table = None
        try:
            sifted = sift(segments, gathered)
        except OSError as error:
            raise StoreError(f"merge: {first_line(error)}") from error
        damaged = list(sifted.damaged)
        try:
            table = self._read(sifted.files())
        except _ALIEN as error:
            # Content that is not ours in a segment that is whole: `take` finds out which, line by line.
            damaged += [(segment, first_line(error)) for segment, _ in sifted.whole]
        except (duckdb.Error, OSError) as error:
            raise StoreError(f"merge: {first_line(error)}") from error
        finally:
            gathered.unlink(missing_ok=True)
        return Staged([segment for segment, _ in (*sifted.whole, *sifted.damaged)], table, damaged)

    def take(self, staged: Staged) -> MergeResult:
        """Merge the segments that are not merged yet; afterwards their files may be deleted.

        Raises :class:`StoreError` where the database cannot take them now (disk full, say); then nothing has changed.
        """
        merged = self._merged(staged.names)
        if merged:  # a program was killed between commit and delete
            staged = self.stage([segment for segment in staged.segments if segment.name not in merged])
        damaged = staged.damaged
        try:
            result = self._transaction(staged.table, [] if damaged else staged.names)
        except _ALIEN as error:
            damaged = damaged + _all_but(damaged, staged.segments, first_line(error))
            result = MergeResult()
        except (duckdb.Error, OSError) as error:
            raise StoreError(f"merge: {first_line(error)}") from error
        for segment, reason in damaged:
            result += self._salvage(segment, reason)
        if damaged:
            self._transaction(None, staged.names)
        return result

    def _merged(self, names: Sequence[str]) -> set[str]:
        rows = self._connection.execute(
            "SELECT name FROM spectra_segments WHERE name IN (SELECT unnest(?))", [names]
        ).fetchall()
        return {name for (name,) in rows}

    def _salvage(self, segment: Segment, reason: str) -> MergeResult:
        """Merge the lines of a damaged segment that are whole and put the others into the quarantine."""
        good: list[bytes] = []
        bad: list[tuple[bytes, str]] = []
        for text in lines_of(segment.path):
            try:
                values, rev = line.decode(text)
                good.append(line.encode(values, rev))
            except (ValueError, RecursionError) as error:
                bad.append((text, str(error)))
        result = self._bisect(segment, good, bad)
        result.quarantined = len(bad)
        if bad or not good:
            reasons = "\n".join(f"line: {why}" for _, why in bad[:100])
            self._spool.set_aside(segment.name, b"".join(text for text, _ in bad), f"{reason}\n{reasons}".strip())
            _log.warning("%s: %s; %d lines merged, %d in quarantine", segment.name, reason, len(good), len(bad))
        return result

    def _bisect(self, segment: Segment, good: list[bytes], bad: list[tuple[bytes, str]]) -> MergeResult:
        """Merge ``good``; what DuckDB will not take after all moves to ``bad``."""
        if not good:
            return MergeResult()
        file = _File(self._spool.folder / "merge.mended", max(map(len, good)))
        try:
            file.path.write_bytes(b"".join(good))
            return self._transaction(self._read([file]), [])
        except _ALIEN as error:
            if isinstance(error, duckdb.OutOfMemoryException) and self._relax():
                return self._bisect(segment, good, bad)
            if len(good) == 1:
                bad.append((good.pop(), first_line(error)))
                return MergeResult()
            halves = good[: len(good) // 2], good[len(good) // 2 :]
            result = MergeResult()
            for half in halves:
                result += self._bisect(segment, half, bad)
            good[:] = halves[0] + halves[1]
            return result
        except (duckdb.Error, OSError) as error:
            raise StoreError(f"merge: {first_line(error)}") from error
        finally:
            file.path.unlink(missing_ok=True)

    def _relax(self) -> bool:
        """Allow more memory, once: large records are no bad ones, and older versions of DuckDB need more for them."""
        if self._is_relaxed:
            return False
        self._is_relaxed = True
        self._connection.execute(f"SET memory_limit = '{_RELAXED}'")
        return True

    def _transaction(self, table: str | None, names: Sequence[str]) -> MergeResult:
        """Merge the rows of ``table`` and enter segment ``names`` into the ledger: all of it or nothing.

        Of new rows that make whole row groups, each group is committed for itself: where a later one fails, those are known by
        their ids when the segments come again.
        """
        self._connection.begin()
        try:
            result = self._merge(table) if table else MergeResult()
            self._note(names)
            self._connection.commit()
        except BaseException:
            with suppress(duckdb.Error):  # a commit that failed has ended the transaction
                self._connection.rollback()
            raise
        # Its memory is wanted for closing. Not before the commit, which DuckDB 1.4 refuses to a table that was deleted from.
        self._connection.execute("DROP TABLE IF EXISTS temp.incoming")
        return result

    def _read(self, files: Sequence[_File]) -> str | None:
        """The rows of ``files`` in a new temporary table, in order of time. None where there is no file."""
        if not files:
            return None
        self._tables += 1
        table = f"staged_{self._tables}"
        self._connection.execute(f"CREATE TEMP TABLE {table} AS {_select(files)} ORDER BY started_at")
        return table

    def _merge(self, table: str) -> MergeResult:
        run = self._connection.execute
        run("DROP TABLE IF EXISTS temp.incoming")
        run(f"ALTER TABLE temp.{table} RENAME TO incoming")
        rows = self._count("incoming")
        if not rows:
            return MergeResult()
        run("DELETE FROM incoming WHERE rowid NOT IN (SELECT arg_max(rowid, rev) FROM incoming GROUP BY id)")
        run("DELETE FROM incoming WHERE started_at < (SELECT max(before) FROM spectra_prunes)")
        # `known`: rows that must go, because a higher revision of theirs comes in or because they lose an election.
        run(f"CREATE OR REPLACE TEMP TABLE known AS {self._known()}")
        run("DELETE FROM incoming USING known WHERE incoming.id = known.id AND incoming.rev <= known.rev")
        run("DELETE FROM known WHERE id NOT IN (SELECT id FROM incoming)")
        kept, revised = self._count("incoming"), self._count("known")
        elected = election.hold(self._connection)
        if elected:
            run("INSERT INTO known SELECT row, id, NULL FROM lost WHERE row IS NOT NULL")
            run("DELETE FROM incoming WHERE id IN (SELECT id FROM lost)")
        left_out = kept - self._count("incoming") if elected else 0
        self._store()
        return MergeResult(new=kept - revised - left_out, revised=revised, duplicates=rows - kept, elected=elected)

    def _store(self) -> None:
        """Put ``incoming`` in the place of ``known``, and the rollups right."""
        if self._count("known"):
            self._replace()
            return
        groups, rest = divmod(self._count("incoming"), ROW_GROUP)
        for number in range(groups):
            self._add(f"(FROM incoming LIMIT {ROW_GROUP} OFFSET {number * ROW_GROUP})")
            if number + 1 < groups or rest:
                self._connection.commit()
                self._connection.begin()
        if rest:
            self._add(f"(FROM incoming OFFSET {groups * ROW_GROUP})" if groups else "incoming")

    def _add(self, rows: str) -> None:
        self._connection.execute(f"INSERT INTO spectra_requests BY NAME SELECT * FROM {rows}")
        rollups.add(self._connection, rows)

    def _replace(self) -> None:
        run = self._connection.execute
        run("CREATE OR REPLACE TEMP TABLE superseded AS FROM spectra_requests WHERE rowid IN (SELECT row FROM known)")
        run("DELETE FROM spectra_requests WHERE rowid IN (SELECT row FROM known)")
        run("INSERT INTO spectra_requests BY NAME SELECT * FROM incoming")
        rollups.add(self._connection, "(FROM incoming ANTI JOIN known USING (id))")
        rollups.recompute(
            self._connection, "(FROM superseded UNION ALL BY NAME FROM incoming SEMI JOIN known USING (id))"
        )

    def _known(self) -> str:
        """SQL for the records of ``incoming`` that are already there, bounded by time: 20 ms on ten million rows, not 900.

        Each day has bounds of its own, so that one late record does not stretch them over the whole table.
        """
        ranges = self._connection.execute(
            f"SELECT epoch_us(min(started_at)), epoch_us(max(started_at)) FROM incoming "
            f"GROUP BY {rollups.DAY.format('started_at')}"
        ).fetchall()
        if len(ranges) > _MOST_DAYS:
            ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))]
        bounds = [f"started_at BETWEEN make_timestamptz({low}) AND make_timestamptz({high})" for low, high in ranges]
        return " UNION ALL ".join(
            f"SELECT rowid AS row, id, rev FROM spectra_requests WHERE {bound} AND id IN (SELECT id FROM incoming)"
            for bound in bounds or ["false"]
        )

    def _note(self, names: Iterable[str]) -> None:
        names = list(names)
        if not names:
            return
        rows = [rows_of(name) for name in names]
        self._connection.execute("INSERT INTO spectra_segments SELECT unnest(?), unnest(?), now()", [names, rows])
        self._connection.execute(
            f"DELETE FROM spectra_segments WHERE merged_at < now() - INTERVAL {_LEDGER_DAYS * 24} HOUR"
        )

    def _count(self, table: str) -> int:
        (rows,) = one_row(self._connection, f"SELECT count(*) FROM {table}")
        return int(rows)


def _all_but(
    known: Iterable[tuple[Segment, str]], segments: Iterable[Segment], reason: str
) -> list[tuple[Segment, str]]:
    """``segments`` with a reason, without those that have one."""
    named = {segment.name for segment, _ in known}
    return [(segment, reason) for segment in segments if segment.name not in named]


def _select(files: Sequence[_File]) -> str:
    """SQL that reads segments as rows of ``spectra_requests``."""
    stored = [field for field in FIELDS.values() if field.name not in _SET_BY_MERGE]
    columns = ", ".join(f"{field.name}: {quoted(field.type)}" for field in stored)
    paths = ", ".join(quoted(str(file.path)) for file in files)
    buffer = max(_SMALLEST_BUFFER, *(file.longest + 1024 for file in files))
    return (
        f"SELECT {', '.join(field.name for field in stored)}, total_cost_in_cents AS current_cost_in_cents, "
        "cost_status AS current_cost_status, TRY_CAST('0x' || left(trace_id, 16) AS UBIGINT) AS trace_key, rev "
        f"FROM read_json([{paths}], columns = {{{columns}, rev: 'INTEGER'}}, format = 'newline_delimited', "
        f"maximum_object_size = {buffer}) WHERE id IS NOT NULL"
    )
