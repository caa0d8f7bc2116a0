"""Repricing: what records would cost at today's prices, beside what they were recorded with.

Recorded costs stay. What changed is appended to ``spectra_costs`` and becomes the current cost, with the rollups, in one
transaction. A price that is not known any more replaces an older number: NULL is the newer truth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from spectra_otel.errors import StoreError
from spectra_otel.exporters.duckdb import database, rollups, schema
from spectra_otel.exporters.duckdb.merge import exclusive
from spectra_otel.exporters.duckdb.queries import microseconds
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.exporters.duckdb.sql import one_row, quoted
from spectra_otel.model.fields import MONEY
from spectra_otel.model.store import Price, PriceFunction, Prices, RepriceResult, Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE = 20_000
"""Rows read at a time; the file is let go of in between, so that merges go on."""

SHOWN = 100
SHORT_PATIENCE = 0.5
"""Seconds to wait for a file in use by what can as well be done another time."""
_LATE = timedelta(days=1)
"""How much later than it began a record may come in and still count as one that came since."""
_NOT_OURS = ("provider", "not_billed", "cache_hit", "billed_unknown")
"""Costs that no catalog decides."""

_COLUMNS = "id: 'VARCHAR', rev: 'INTEGER', started_at: 'TIMESTAMPTZ', price_version: 'VARCHAR', status: 'VARCHAR'"


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a database. ``guard`` is held while it is open (an app must not fork then)."""

    path: Path
    spool: Spool
    patience: float = database.PATIENCE_SECONDS
    guard: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @contextmanager
    def reader(self) -> Iterator[DuckDBPyConnection]:
        with self.guard, database.reader(self.path, self.patience) as connection:
            yield connection

    @contextmanager
    def writer(self) -> Iterator[DuckDBPyConnection]:
        with self.guard, exclusive(self.path, self.spool, self.patience) as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records to price anew; ``models`` are pairs of provider and model."""

    since: datetime | None = None
    model: str | None = None
    unpriced_only: bool = False
    models: Sequence[tuple[str | None, str | None]] = ()

    @property
    def reason(self) -> str:
        """What ``spectra_costs`` says about why."""
        return "unpriced" if self.unpriced_only else "reprice"

    def where(self) -> tuple[str, list[Any]]:
        """SQL and parameters of the condition."""
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
        if self.models:
            same = "(provider IS NOT DISTINCT FROM ? AND model IS NOT DISTINCT FROM ?)"
            clauses.append(f"({' OR '.join([same] * len(self.models))})")
            params += [value for pair in self.models for value in pair]
        return " AND ".join(clauses), params

    def page(self, after: tuple[datetime, str] | None) -> tuple[str, list[Any]]:
        """SQL and parameters of the next page in order of time."""
        where, params = self.where()
        if after is not None:
            moment = microseconds(after[0])
            where += " AND started_at >= make_timestamptz(?) AND (started_at > make_timestamptz(?) OR id > ?)"
            params += [moment, moment, after[1]]
        return f"FROM spectra_requests WHERE {where} ORDER BY started_at, id LIMIT {PAGE}", params

    def examples(self) -> tuple[str, list[Any]]:
        """SQL and parameters of the oldest and the newest record of each model and kind of usage."""
        where, params = self.where()
        chosen = (
            "SELECT unnest([arg_min(rowid, started_at), arg_max(rowid, started_at)]) FROM spectra_requests "
            f"WHERE {where} GROUP BY provider, model, snapshot, pricing_tier, provider_account, model_type, "
            "prompt_tokens IS NULL, completion_tokens IS NULL"
        )
        return f"FROM spectra_requests WHERE rowid IN ({chosen})", params


def reprice(access: Access, price: PriceFunction, selection: Selection, dry_run: bool) -> RepriceResult:
    """Price the records of ``selection`` and, unless ``dry_run``, store what changed."""
    result = RepriceResult()
    folder = access.spool.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    changes = folder / f"{os.getpid()}.reprice"
    try:
        with changes.open("wb") as file:
            for row in _records(access, selection):
                _consider(row, price(row), result, file)
        if result.changed and not dry_run:
            with access.writer() as connection:
                _store(connection, changes, selection.reason)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error
    finally:
        changes.unlink(missing_ok=True)
    return result


def learn(access: Access, prices: Prices) -> RepriceResult | None:
    """Price what has no cost and is known by now: of all records if the database saw other prices last, else of those since then.

    Only examples of each model are looked at unless its price is known: mostly there is nothing to learn. None where nothing
    changed and the prices are the same, or there is no database. Two at once find the same, and the second changes nothing.
    """
    if not access.path.exists():
        return None
    version = prices.version
    with access.reader() as connection:
        if schema.version_of(connection) < schema.VERSION:  # migrated by whoever writes next
            return None
        newest = "SELECT arg_max(price_version, seen_at), epoch_us(max(seen_at)) FROM spectra_catalogs"
        seen, moment = one_row(connection, newest)
        is_new = seen != version
        since = None if is_new else datetime.fromtimestamp(moment / 1e6, UTC) - _LATE
        examples = database.fetch_dicts(connection, *Selection(since, unpriced_only=True).examples())
    models = list(
        dict.fromkeys((row["provider"], row["model"]) for row in examples if _differs(row, prices.price(row)))
    )
    result = RepriceResult()
    if models:
        result = reprice(access, prices.price, Selection(since, unpriced_only=True, models=models), dry_run=False)
    if is_new or result.changed:
        with access.writer() as connection:
            connection.execute("INSERT INTO spectra_catalogs VALUES (?, now(), ?)", [version, result.changed])
        return result
    return None


def _differs(row: Row, price: Price | None) -> bool:
    before = row["current_cost_in_cents"], row["current_cost_status"]
    return price is not None and before != (price.total_cost_in_cents, _status(row, price))


def _records(access: Access, selection: Selection) -> Iterator[Row]:
    after: tuple[datetime, str] | None = None
    while True:
        with access.reader() as connection:
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
    if not _differs(row, price):
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


def _store(connection: DuckDBPyConnection, changes: Path, reason: str) -> None:
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
