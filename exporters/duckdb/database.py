"""Opening the DuckDB file, shortly and politely, and reading Python values from it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spectra_otel.errors import StoreBusyError, StoreError
from spectra_otel.exporters.duckdb import schema
from spectra_otel.exporters.duckdb.sql import quoted
from spectra_otel.model.store import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_Opened = TypeVar("_Opened")

PATIENCE_SECONDS = 10.0
"""How long our commands try to open a file that another process holds."""

_RETRY_SECONDS = 0.02
_ATTACHED = "store"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THRIFTY: dict[str, str | int] = {"memory_limit": "80MB", "threads": 1, "checkpoint_threshold": "256MB"}
"""For merges, which run beside the app's own work. A batch needs half of it; one thread is as quick as two for reading JSON.

The closing makes a checkpoint; one more in the middle would do most of that work twice."""


@contextmanager
def writer(path: Path, patience: float = 0.0) -> Iterator[DuckDBPyConnection]:
    """The database open for writing, made or migrated if need be. Only for the holder of the merge lock.

    Raises :class:`StoreBusyError` if another process keeps it open for ``patience`` seconds, :class:`StoreVersionError`
    if a newer program wrote it.
    """
    _make(path)
    connection = _open(path, patience, read_only=False)
    try:
        schema.ensure(connection, path)
        yield connection
    finally:
        connection.close()


@contextmanager
def workbench(path: Path, *, tidies: bool = True) -> Iterator[DuckDBPyConnection]:
    """A connection for work that is meant for the database at ``path``, but does not need it: nobody is kept out.

    It leaves processor and memory to others, and spills to where the database itself would. ``tidies``: at the end of the work a
    few of the table's parts that are not full are made one, which can take longer than the work did.
    """
    import duckdb

    config: dict[str, Any] = {**_THRIFTY, "temp_directory": f"{path}.tmp", "max_vacuum_tasks": int(tidies)}
    with duckdb.connect(config=config) as connection:
        yield connection


@contextmanager
def attached(bench: DuckDBPyConnection, path: Path, patience: float) -> Iterator[float]:
    """The database open for writing, as :func:`writer` has it, on a :func:`workbench` with all that is on it.

    Yields the moment (monotonic) since when it is kept from others.
    """

    def attach() -> float:
        began = time.monotonic()
        bench.execute(f"ATTACH {quoted(str(path))} AS {_ATTACHED} (ROW_GROUP_SIZE {schema.ROW_GROUP})")
        return began

    _make(path)
    began = _knock(path, patience, attach)
    try:
        bench.execute(f"USE {_ATTACHED}")
        schema.ensure(bench, path)
        yield began
    finally:
        bench.execute("USE memory")
        bench.execute(f"DETACH {_ATTACHED}")


@contextmanager
def reader(path: Path, patience: float = PATIENCE_SECONDS) -> Iterator[DuckDBPyConnection]:
    """The database open for reading; where there is no file yet, an empty one in memory with the same tables.

    Raises :class:`StoreBusyError` if another process is writing for ``patience`` seconds, :class:`StoreVersionError` if a newer
    if a newer program wrote it.
    """
    import duckdb

    if path.exists():
        connection = _open(path, patience, read_only=True)
    else:
        connection = duckdb.connect()
        schema.create(connection)
    try:
        schema.refuse_newer(schema.version_of(connection), path)
        yield connection
    finally:
        connection.close()


def fetch(
    connection: DuckDBPyConnection, sql: str, params: Sequence[Any] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a query, as Python values. Raises :class:`StoreError` with DuckDB's message.

    DuckDB's own way to fetch a TIMESTAMPTZ needs ``pytz``, which it does not install; hence the epoch.
    """
    import duckdb

    try:
        relation = connection.sql(sql, params=list(params))
        if relation is None:  # a statement without a result
            return [], []
        columns, types = list(relation.columns), [str(type_) for type_ in relation.types]
        rows = _without_time_zones(relation, types).fetchall()
    except duckdb.Error as error:
        raise StoreError(first_line(error)) from error
    readers = [_READERS.get(type_, _as_it_is) for type_ in types]
    if any(read is not _as_it_is for read in readers):
        rows = [tuple(map(_read, readers, row)) for row in rows]
    return columns, rows


def fetch_dicts(connection: DuckDBPyConnection, sql: str, params: Sequence[Any] = ()) -> list[Row]:
    """Rows of a query as dicts by column name."""
    columns, rows = fetch(connection, sql, params)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def busy(error: Exception, path: Path) -> StoreBusyError | None:
    """The :class:`StoreBusyError` that DuckDB's error means, if it means that the file is in use."""
    text = str(error)
    if "Could not set lock" in text or "being used by another process" in text:
        return StoreBusyError(f"{path}: in use by {_named(text)}")
    if "same database file with a different configuration" in text or "file handle conflict" in text:
        return StoreBusyError(f"{path}: in use by this process")
    return None


def holder(text: str) -> int | None:
    """The PID that DuckDB names in an error about a held file."""
    found = re.search(r"PID (\d+)", text)
    return int(found.group(1)) if found else None


def _named(text: str) -> str:
    """Who holds the file, as DuckDB tells: a PID, and mostly its program."""
    pid, program = holder(text), re.search(r"held in (\S+) \(PID", text)
    if pid is None:
        return "another process"
    return f"process {pid}" + (f" ({Path(program[1]).name})" if program else "")


def _make(path: Path) -> None:
    import duckdb

    try:
        if not path.exists():
            schema.create_file(path)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{path}: cannot be made: {first_line(error)}") from error


def _open(path: Path, patience: float, *, read_only: bool) -> DuckDBPyConnection:
    import duckdb

    return _knock(path, patience, lambda: duckdb.connect(str(path), read_only=read_only))


def _knock(path: Path, patience: float, attempt: Callable[[], _Opened]) -> _Opened:
    """Try to open until nobody else has the file."""
    import duckdb

    deadline = time.monotonic() + patience
    while True:
        try:
            return attempt()
        except duckdb.Error as error:
            in_use = busy(error, path)
            if in_use is None:
                raise StoreError(f"{path}: {first_line(error)}") from error
            if time.monotonic() >= deadline:
                in_use.__cause__ = error
                raise in_use from error
        time.sleep(_RETRY_SECONDS)


def _without_time_zones(relation: DuckDBPyRelation, types: Sequence[str]) -> DuckDBPyRelation:
    if not any("TIME ZONE" in type_ for type_ in types):
        return relation
    return relation.project(", ".join(_projection(number, type_) for number, type_ in enumerate(types, 1)))


def _projection(number: int, type_: str) -> str:
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us(#{number}) AS c{number}"
    if "TIME ZONE" in type_:  # nested in a list or struct
        return f"#{number}::VARCHAR AS c{number}"
    return f"#{number} AS c{number}"


def _moment(microseconds: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # a year Python has no datetime for
        return None


def _as_it_is(value: Any) -> Any:
    return value


def _read(reader: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else reader(value)


_READERS: dict[str, Callable[[Any], Any]] = {"TIMESTAMP WITH TIME ZONE": _moment, "JSON": json.loads}


def first_line(error: Exception) -> str:
    """What DuckDB says, without its advice."""
    return str(error).strip().splitlines()[0]
