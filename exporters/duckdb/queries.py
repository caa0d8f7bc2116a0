"""The questions people ask most, as SQL: cost by group, and records by what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb.rollups import DAY, HOURLY, SUMS
from spectra_otel.exporters.duckdb.sql import identifier, quoted
from spectra_otel.model.fields import FIELDS
from spectra_otel.model.store import GROUPS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = tuple(FIELDS)
"""The columns of a record as people see it: `trace_key` and `rev` are the store's own."""

_KEYS = {
    "user": "user_id",
    "service": "service_name",
    "conversation": "conversation_id",
    "account": "provider_account",
    "trackable": "nullif(concat_ws(':', trackable_type, trackable_id), '')",
    "day": DAY.format("started_at"),
}
_ROLLED_UP = {key.name: key.name for key in HOURLY.keys if key.name != "hour"} | {
    "service": "service_name",
    "day": DAY.format("hour"),
}
"""Groups that the hourly rollup answers."""

_TOTALS = ", ".join(f"{column.sql} AS {column.name}" for column in SUMS)
_TOTALS_OF_ROLLUP = ", ".join(f"sum({column.name})::{column.type} AS {column.name}" for column in SUMS)
_ORDER = "ORDER BY total_cost_in_cents DESC NULLS LAST, requests DESC, 1"


@dataclass(slots=True)
class Conditions:
    """A WHERE clause and its parameters."""

    clauses: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def add(self, clause: str, *params: Any) -> None:
        self.clauses.append(clause)
        self.params.extend(params)

    @property
    def sql(self) -> str:
        return " AND ".join(self.clauses) or "true"


def costs(
    by: str, since: datetime | None, until: datetime | None, filters: Mapping[str, Any] | None
) -> tuple[str, list[Any]]:
    """SQL and parameters of cost by group, dearest first.

    Whole hours by a key of the hourly rollup are read from it, which also knows what was pruned; the rest from the rows. Raises
    :class:`StoreError` for a group or filter that does not exist.
    """
    if by in _ROLLED_UP and not filters and _whole_hour(since) and _whole_hour(until):
        where = _times("hour", since, until)
        sql = f"SELECT {_ROLLED_UP[by]} AS {identifier(by)}, {_TOTALS_OF_ROLLUP} FROM spectra_hourly_stats WHERE {where.sql}"
        return f"{sql} GROUP BY 1 {_ORDER}", where.params
    where = _times("r.started_at", since, until)
    _filter(where, filters)
    rows = "spectra_requests AS r"
    params: list[Any] = []
    if by == "tag":
        key, rows = "t.tag", f"{rows}, (SELECT unnest(list_distinct(r.tags)) AS tag) AS t"
    elif by.startswith("metadata."):
        key, params = _metadata(by)
    elif by in GROUPS:
        key = _KEYS.get(by, by)
    else:
        raise StoreError(f"by: {by!r} is not valid (valid values: {', '.join(GROUPS)}, metadata.KEY)")
    return (
        f"SELECT {key} AS {identifier(by)}, {_TOTALS} FROM {rows} WHERE {where.sql} GROUP BY 1 {_ORDER}",
        params + where.params,
    )


def requests(
    since: datetime | None, until: datetime | None, filters: Mapping[str, Any] | None, limit: int
) -> tuple[str, list[Any]]:
    """SQL and parameters of records, newest first. Raises :class:`StoreError` for a filter that does not exist."""
    where = _times("r.started_at", since, until)
    _filter(where, filters)
    columns = ", ".join(f"r.{column}" for column in COLUMNS)
    return (
        f"SELECT {columns} FROM spectra_requests AS r WHERE {where.sql} ORDER BY r.started_at DESC, r.id LIMIT ?",
        [*where.params, limit],
    )


def request(id: str) -> tuple[str, list[Any]]:
    """SQL and parameters of one record by its id."""
    where = Conditions()
    _by_trace(where, id.partition("-")[0])
    where.add("r.id = ?", id)
    return f"SELECT {', '.join(COLUMNS)} FROM spectra_requests AS r WHERE {where.sql} LIMIT 1", where.params


def _times(column: str, since: datetime | None, until: datetime | None) -> Conditions:
    where = Conditions()
    for operator, moment in ((">=", since), ("<", until)):
        if moment is not None:
            where.add(f"{column} {operator} make_timestamptz(?)", microseconds(moment))
    return where


def _filter(where: Conditions, filters: Mapping[str, Any] | None) -> None:
    for name, value in (filters or {}).items():
        if name == "tag":
            where.add("list_contains(r.tags, ?)", value)
        elif name == "trace_id":
            _by_trace(where, str(value))
            where.add("r.trace_id = ?", value)
        elif name.startswith("metadata."):
            key, params = _metadata(name)
            where.add(f"{key} IS NOT DISTINCT FROM ?", *params, None if value is None else str(value))
        elif (key := _KEYS.get(name, name)) != name or name in FIELDS:
            where.add(f"{key} IS NULL" if value is None else f"{key} = ?", *([] if value is None else [value]))
        else:
            raise StoreError(
                f"filter: {name!r} is not valid (valid values: a column of spectra_requests, tag, metadata.KEY)"
            )


def _by_trace(where: Conditions, trace_id: str) -> None:
    """Use the numeric trace key, which skips most row groups, where the id is one."""
    try:
        where.add("r.trace_key = ?", int(trace_id[:16], 16))
    except ValueError:
        return


def _metadata(name: str) -> tuple[str, list[Any]]:
    """The text at ``metadata.KEY``: a key of that very name, else the path a.b of nested ones."""
    key = name.removeprefix("metadata.")
    flat = '$."' + key.replace('"', '\\"') + '"'
    path = "$" + "".join('."' + part.replace('"', '\\"') + '"' for part in key.split("."))
    return (
        f"coalesce(json_extract_string(r.metadata, {quoted(flat)}), json_extract_string(r.metadata, {quoted(path)}))"
    ), []


def _whole_hour(moment: datetime | None) -> bool:
    return moment is None or microseconds(moment) % 3_600_000_000 == 0


def microseconds(moment: datetime) -> int:
    """``moment`` as microseconds since 1970; without a time zone it is local time."""
    aware = moment if moment.tzinfo else moment.astimezone()
    return (aware - _EPOCH) // timedelta(microseconds=1)
