"""Repricing: what records would cost at today's prices, beside what they were recorded with.

Recorded costs stay. What changed is appended to ``spectra_costs`` and becomes the current cost, with the rollups, in one
transaction. A price that is not known any more replaces an older number: NULL is the newer truth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from spectra_otel.exporters.duckdb import database, rollups, schema
from spectra_otel.exporters.duckdb.merge import exclusive
from spectra_otel.exporters.duckdb.queries import microseconds
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.exporters.duckdb.sql import one_row, quoted
from spectra_otel.model.fields import MONEY
from spectra_otel.model.store import Price, PriceFunction, RepriceResult, Row

PAGE = 20_000
"""Rows read at a time; the file is let go of in between, so that merges go on."""

SHOWN = 100
_SHORT_PATIENCE = 0.5
_NOT_OURS = ("provider", "not_billed", "cache_hit", "billed_unknown")
"""Costs that no catalog decides."""

_COLUMNS = "id: 'VARCHAR', rev: 'INTEGER', started_at: 'TIMESTAMPTZ', price_version: 'VARCHAR', status: 'VARCHAR'"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records to price anew."""

    since: datetime | None = None
    model: str | None = None
    unpriced_only: bool = False

    @property
    def reason(self) -> str:
        """What ``spectra_costs`` says about why."""
        return "unpriced" if self.unpriced_only else "reprice"

    def page(self, after: tuple[datetime, str] | None) -> tuple[str, list[Any]]:
        """SQL and parameters of the next page in order of time."""
        clauses = [f"coalesce(cost_status, '') NOT IN {_NOT_OURS}", "error_type IS DISTINCT FROM 'usage_inconsistent'"]
        params: list[Any] = []
        if self.since is not None:
            clauses.append("started_at >= make_timestamptz(?)")
            params.append(microseconds(self.since))
        if self.model is not None:
            clauses.append("model = ?")
            params.append(self.model)
        if self.unpriced_only:
            clauses.append("current_cost_in_cents IS NULL")
        if after is not None:
            moment = microseconds(after[0])
            clauses.append("started_at >= make_timestamptz(?) AND (started_at > make_timestamptz(?) OR id > ?)")
            params += [moment, moment, after[1]]
        return f"FROM spectra_requests WHERE {' AND '.join(clauses)} ORDER BY started_at, id LIMIT {PAGE}", params


def reprice(path: Path, spool: Spool, price: PriceFunction, selection: Selection, dry_run: bool) -> RepriceResult:
    """Price the records of ``selection`` and, unless ``dry_run``, store what changed."""
    result = RepriceResult()
    spool.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    changes = spool.folder / f"{os.getpid()}.reprice"
    try:
        with changes.open("wb") as file:
            for row in _records(path, selection):
                _consider(row, price(row), result, file)
        if result.changed and not dry_run:
            _store(path, spool, changes, selection.reason)
    finally:
        changes.unlink(missing_ok=True)
    return result


def learn(path: Path, spool: Spool, price: PriceFunction, version: str) -> RepriceResult | None:
    """Price what has no cost, if the database has not seen the prices of ``version`` last; None if it has, or is not there.

    Whoever comes first does it: two at once find the same, and the second changes nothing. Raises :class:`StoreBusyError` soon
    where another process has the file: this can wait for the next command.
    """
    if not path.exists() or _seen_last(path) == version:
        return None
    result = reprice(path, spool, price, Selection(unpriced_only=True), dry_run=False)
    with exclusive(path, spool) as connection:
        connection.execute("INSERT INTO spectra_catalogs VALUES (?, now(), ?)", [version, result.changed])
    return result


def _seen_last(path: Path) -> str | None:
    with database.reader(path, _SHORT_PATIENCE) as connection:
        if schema.version_of(connection) < schema.VERSION:  # migrated by whoever writes next
            return None
        newest = "SELECT arg_max(price_version, seen_at) FROM spectra_catalogs"
        return str(one_row(connection, newest)[0])


def _records(path: Path, selection: Selection) -> Iterator[Row]:
    after: tuple[datetime, str] | None = None
    while True:
        with database.reader(path) as connection:
            page = database.fetch_dicts(connection, *selection.page(after))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]["started_at"], page[-1]["id"]


def _consider(row: Row, price: Price | None, result: RepriceResult, file: BinaryIO) -> None:
    if price is None:
        return
    before, after = row["current_cost_in_cents"], price.total_cost_in_cents
    status = _status(row, price)
    result.examined += 1
    result.cents_before += before or Decimal(0)
    result.cents_after += after or Decimal(0)
    result.unpriced_before += before is None
    result.unpriced_after += after is None
    if (before, row["current_cost_status"]) == (after, status):
        return
    result.changed += 1
    if len(result.changes) < SHOWN:
        told = {key: row[key] for key in ("id", "provider", "model", "started_at")}
        result.changes.append(
            told
            | {"status_before": row["current_cost_status"], "status_after": status}
            | {"cents_before": before, "cents_after": after}
        )
    change = {
        **{key: row[key] for key in ("id", "rev", "started_at")},
        "price_version": price.price_version,
        "status": status,
        "amount": None if after is None else format(after, "f"),
    }
    file.write(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE))


def _status(row: Row, price: Price) -> str:
    """The new status; usage that was estimated, or known to lack a part, does not become exact by a price."""
    if price.total_cost_in_cents is None or price.cost_status != "priced":
        return price.cost_status
    if row["cost_status"] == "estimated":
        return "estimated"
    lacks = row["prompt_tokens"] is None or row["completion_tokens"] is None
    return "partial" if row["cost_status"] == "partial" and lacks else price.cost_status


def _store(path: Path, spool: Spool, changes: Path, reason: str) -> None:
    with exclusive(path, spool) as connection:
        connection.begin()
        connection.execute(
            f"CREATE TEMP TABLE repriced AS FROM read_json({quoted(str(changes))}, "
            f"columns = {{{_COLUMNS}, amount: '{MONEY}'}}, format = 'newline_delimited')"
        )
        within = "started_at BETWEEN (SELECT min(started_at) FROM repriced) AND (SELECT max(started_at) FROM repriced)"
        # A record that was revised meanwhile has a newer price already.
        connection.execute(
            f"UPDATE spectra_requests AS r SET current_cost_in_cents = p.amount, current_cost_status = p.status "
            f"FROM repriced AS p WHERE r.id = p.id AND r.rev = p.rev AND r.{within}"
        )
        touched = f"(FROM spectra_requests AS r SEMI JOIN repriced AS p USING (id, rev) WHERE r.{within})"
        connection.execute(
            "INSERT INTO spectra_costs SELECT p.id, p.started_at, now(), p.price_version, ?, p.status, p.amount "
            f"FROM repriced AS p SEMI JOIN {touched} AS t USING (id)",
            [reason],
        )
        rollups.recompute(connection, touched)
        connection.commit()
