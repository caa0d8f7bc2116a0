"""The rollups: one table of facts that both the DDL and the merge are made from.

A rollup sums records by its keys. The merge adds new records to it; where a record is revised or repriced, the groups it was
and is in are summed anew from the rows, because a sum that has lost its only known value must become NULL again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from spectra_otel.exporters.duckdb.sql import one_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HOUR = "make_timestamptz(epoch_us({0}) // 3600000000 * 3600000000)"
"""UTC hour of a TIMESTAMPTZ expression."""

DAY = "make_timestamp(epoch_us({0}))::DATE"
"""UTC day of a TIMESTAMPTZ expression: ``AT TIME ZONE`` and ``date_trunc`` cost ten times as much and need the ICU extension."""

LATENCY_BASE = 1.02
"""Ratio of neighbouring latency buckets: a quantile read from the histogram is within 1 %."""


@dataclass(frozen=True, slots=True)
class Column:
    """A key or a sum of a rollup: ``sql`` makes it from the rows of ``spectra_requests``."""

    name: str
    type: str
    sql: str
    doc: str


@dataclass(frozen=True, slots=True)
class Rollup:
    """One rollup table: the sums of ``source`` by ``keys``. ``rows`` is a template of a FROM clause over one rows relation."""

    name: str
    doc: str
    keys: tuple[Column, ...]
    sums: tuple[Column, ...]
    rows: str = "{0} AS r"
    where: str = "true"

    def select(self, relation: str, where: str = "true") -> str:
        """SQL that sums ``relation`` (a table of records) by the keys."""
        keys = ", ".join(f"{key.sql} AS {key.name}" for key in self.keys)
        sums = ", ".join(f"{column.sql} AS {column.name}" for column in self.sums)
        return f"SELECT {keys}, {sums} FROM {self.rows.format(relation)} WHERE {self.where} AND {where} GROUP BY ALL"

    def same_key(self, left: str, right: str) -> str:
        """SQL that is true where two relations have the same key, NULL being a key too."""
        return " AND ".join(f"{left}.{key.name} IS NOT DISTINCT FROM {right}.{key.name}" for key in self.keys)


def _total(name: str, type_: str, doc: str) -> Column:
    return Column(name, type_, f"sum(r.{name})::{type_}", doc)


SUMS = (
    Column("requests", "BIGINT", "count(*)", "Records."),
    Column(
        "unpriced_requests", "BIGINT", "count(*) FILTER (WHERE r.total_cost_in_cents IS NULL)",
        "Records whose total_cost_in_cents is NULL.",
    ),
    Column(
        "partial_requests", "BIGINT", "count(*) FILTER (WHERE r.cost_status = 'partial')",
        "Records whose cost is a floor.",
    ),
    Column("failed_requests", "BIGINT", "count(*) FILTER (WHERE r.is_failed)", "Records of failed calls."),
    _total("prompt_tokens", "BIGINT", "Sum of prompt_tokens where known; NULL if none is."),
    _total("completion_tokens", "BIGINT", "Sum of completion_tokens where known; NULL if none is."),
    _total("cached_tokens", "BIGINT", "Sum of cached_tokens where known; NULL if none is."),
    _total("reasoning_tokens", "BIGINT", "Sum of reasoning_tokens where known; NULL if none is."),
    _total("latency_ms", "BIGINT", "Sum of latency_ms where known; NULL if none is."),
    _total("total_cost_in_cents", "DECIMAL(38,8)", "Sum of the recorded cost in cents where known; NULL if none is."),
    _total("current_cost_in_cents", "DECIMAL(38,8)", "Sum of the cost after repricing, in cents; NULL if none is known."),
)  # fmt: skip

_DAY_KEY = Column("day", "DATE", DAY.format("r.started_at"), "UTC day the call began.")
_PROVIDER = Column("provider", "VARCHAR", "r.provider", "Who served the call.")
_MODEL = Column("model", "VARCHAR", "r.model", "The model as requested.")

HOURLY = Rollup(
    "spectra_hourly_stats",
    "Sums by UTC hour, provider, model, model type, service and environment. Local days are sums of hours.",
    (
        Column("hour", "TIMESTAMPTZ", HOUR.format("r.started_at"), "UTC hour the call began."),
        _PROVIDER,
        _MODEL,
        Column("model_type", "VARCHAR", "r.model_type", "Kind of model."),
        Column("service_name", "VARCHAR", "r.service_name", "service.name of the resource."),
        Column("environment", "VARCHAR", "r.environment", "deployment.environment.name of the resource."),
    ),
    SUMS,
)
DAILY_USERS = Rollup(
    "spectra_daily_users",
    "Sums by UTC day and user; a NULL user stands for the calls that name none.",
    (_DAY_KEY, Column("user_id", "VARCHAR", "r.user_id", "Who the call was made for.")),
    SUMS,
)
DAILY_TAGS = Rollup(
    "spectra_daily_tags",
    "Sums by UTC day and tag; a record with two tags is in both, so tags do not add up.",
    (_DAY_KEY, Column("tag", "VARCHAR", "t.tag", "One of the record's tags.")),
    SUMS,
    rows="{0} AS r, (SELECT unnest(list_distinct(r.tags)) AS tag) AS t",
)
DAILY_LATENCY = Rollup(
    "spectra_daily_latency",
    "Histogram of latency by UTC day, provider and model. Bucket b holds latencies around 1.02^(b + 0.5) ms, within 1 %.",
    (
        _DAY_KEY,
        _PROVIDER,
        _MODEL,
        Column(
            "bucket", "INTEGER", f"floor(ln(greatest(r.latency_ms, 1)) / ln({LATENCY_BASE}))::INTEGER",
            "floor(ln(latency_ms) / ln(1.02)); 0 for less than 1.02 ms.",
        ),
    ),
    (Column("n", "BIGINT", "count(*)", "Records in the bucket."),),
    where="r.latency_ms IS NOT NULL",
)  # fmt: skip

ROLLUPS = (HOURLY, DAILY_USERS, DAILY_TAGS, DAILY_LATENCY)


def add(connection: DuckDBPyConnection, relation: str) -> None:
    """Add the records of ``relation``, which are new, to every rollup."""
    for rollup in ROLLUPS:
        names = [column.name for column in (*rollup.keys, *rollup.sums)]
        grown = ", ".join(f"{c.name} = coalesce(t.{c.name} + d.{c.name}, t.{c.name}, d.{c.name})" for c in rollup.sums)
        connection.execute(
            f"MERGE INTO {rollup.name} AS t USING ({rollup.select(relation)}) AS d ON {rollup.same_key('t', 'd')} "
            f"WHEN MATCHED THEN UPDATE SET {grown} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join('d.' + name for name in names)})"
        )


def recompute(connection: DuckDBPyConnection, touched: str) -> None:
    """Sum anew the groups that the records of ``touched`` (their old and their new state) belong to."""
    first, last = one_row(
        connection, f"SELECT min({DAY.format('started_at')}), max({DAY.format('started_at')}) FROM {touched}"
    )
    if first is None:
        return
    within = _within_days("r", first, last)
    for rollup in ROLLUPS:
        keys = ", ".join(f"{key.sql} AS {key.name}" for key in rollup.keys)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE touched_keys AS "
            f"SELECT DISTINCT {keys} FROM {rollup.rows.format(touched)} WHERE {rollup.where}"
        )
        connection.execute(f"DELETE FROM {rollup.name} AS t USING touched_keys AS k WHERE {rollup.same_key('t', 'k')}")
        connection.execute(
            f"INSERT INTO {rollup.name} SELECT t.* FROM ({rollup.select('spectra_requests', within)}) AS t "
            f"SEMI JOIN touched_keys AS k ON {rollup.same_key('t', 'k')}"
        )
    connection.execute("DROP TABLE IF EXISTS temp.touched_keys")


def rebuild(connection: DuckDBPyConnection, first: date, last: date) -> None:
    """Sum anew everything of the UTC days ``first`` to ``last``, inclusive."""
    for rollup in ROLLUPS:
        key = rollup.keys[0]
        day = DAY.format(key.name) if key.type == "TIMESTAMPTZ" else key.name
        connection.execute(f"DELETE FROM {rollup.name} WHERE {day} BETWEEN ? AND ?", [first, last])
        connection.execute(
            f"INSERT INTO {rollup.name} {rollup.select('spectra_requests', _within_days('r', first, last))}"
        )


def _within_days(alias: str, first: date, last: date) -> str:
    """A condition on the bare column, so that DuckDB skips the row groups outside."""
    return (
        f"{alias}.started_at >= TIMESTAMPTZ '{first} 00:00:00+00' "
        f"AND {alias}.started_at < TIMESTAMPTZ '{last} 00:00:00+00' + INTERVAL 24 HOUR"
    )
