"""Commands that write the store out, or change what it keeps: export, snapshot, prune, rebuild-stats, reprice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spectra_otel.cli.options import (
    db_option,
    effective_document,
    format_option,
    open_store,
    since_option,
    store_of,
    until_option,
)
from spectra_otel.cli.output import dollars, print_object, print_rows
from spectra_otel.model.store import EXPORT_FORMATS
from spectra_otel.repricing import TodaysPrices

if TYPE_CHECKING:
    from spectra_otel.model.store import RepriceResult

_MOST_HOURS = 10_000_000
"""Eleven centuries: before that there is no date."""
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".ndjson": "json", ".jsonl": "json"}
_CHANGE = (
    "id", "provider", "model", "started_at", "status_before", "status_after", "cents_before", "cents_after",
)  # fmt: skip


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(EXPORT_FORMATS), help="What to write.  [default: by the suffix of PATH]"
)
@since_option
@until_option
@db_option
def export(path: Path, format_: str | None, since: datetime | None, until: datetime | None, db: str | None) -> None:
    """Write records to a file: Parquet, CSV, JSON lines, or FOCUS (the FinOps cost format, as CSV)."""
    chosen = format_ or _SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        raise click.UsageError(f'--format is needed: the suffix of "{path}" is none of {", ".join(_SUFFIXES)}')
    store = open_store(db)
    count = store.export(path, chosen, since, until)
    click.echo(f"{count} records written to {path}", err=True)


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@db_option
def snapshot(path: Path, db: str | None) -> None:
    """Write a copy of the database to PATH, for tools that hold a file open. An older copy is replaced in one step."""
    store = open_store(db)
    click.echo(f"snapshot written to {store.snapshot(path)}", err=True)


@click.command()
@click.option(
    "--hours", type=click.FloatRange(0, _MOST_HOURS), required=True, help="Keep records younger than so many hours."
)
@click.option("--compact", is_flag=True, help="Shrink the file afterwards; rewrites it.")
@db_option
def prune(hours: float, compact: bool, db: str | None) -> None:
    """Remove records of whole UTC days that are older; the rollup tables keep their totals."""
    if hours != hours:
        raise click.BadParameter("nan is no number of hours", param_hint="'--hours'")
    store = open_store(db)
    click.echo(f"{store.prune(hours, compact)} records removed", err=True)


@click.command()
@click.option(
    "--from",
    "start",
    metavar="DAY",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First UTC day.  [default: the first there is]",
)
@click.option(
    "--to", "end", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]), help="Last UTC day.  [default: the last there is]"
)
@click.option("--yesterday", is_flag=True, help="Only the UTC day before today.")
@db_option
def rebuild_stats(start: datetime | None, end: datetime | None, yesterday: bool, db: str | None) -> None:
    """Compute the rollup tables again from the records, for whole UTC days.

    Days whose records were pruned are left as they are.
    """
    if yesterday and (start or end):
        raise click.UsageError("--yesterday goes alone, without --from and --to")
    first, last = _day(start), _day(end)
    if yesterday:
        first = last = datetime.now(UTC).date() - timedelta(days=1)
    if first and last and first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    store = open_store(db)
    click.echo(f"{store.rebuild_stats(first, last)} days rebuilt", err=True)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


@click.command()
@since_option
@click.option("--model", metavar="TEXT", help="Only calls of this model.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@format_option
@db_option
def reprice(since: datetime | None, model: str | None, dry_run: bool, format_: str, db: str | None) -> None:
    """Price recorded calls again with today's catalog, each as of when it was made.

    The recorded total stays; the new figure is current_cost_in_cents, and each change is a row of spectra_costs. A cost that
    the provider itself reported is left alone.
    """
    document = effective_document()
    store = open_store(db) if db else store_of(document)
    result = store.reprice(TodaysPrices(document).price, since, model, dry_run)
    if format_ == "table":
        _print_repricing(result, dry_run)
    else:
        print_object(_summary(result), format_)


def _summary(result: RepriceResult) -> dict[str, Any]:
    names = ("examined", "changed", "cents_before", "cents_after", "unpriced_before", "unpriced_after", "changes")
    return {name: getattr(result, name) for name in names}


def _print_repricing(result: RepriceResult, dry_run: bool) -> None:
    if result.changes:
        columns = [name for name in _CHANGE if name in result.changes[0]]
        print_rows(columns, [[row[name] for name in columns] for row in result.changes], "table")
    click.echo(
        f"{result.changed} of {result.examined} records {'would change' if dry_run else 'changed'}: "
        f"{dollars(result.cents_before)} → {dollars(result.cents_after)}, "
        f"unpriced {result.unpriced_before} → {result.unpriced_after}"
    )
