"""`spectra query`: any SQL, read-only."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from spectra_otel.cli.options import db_option, format_option, open_store
from spectra_otel.cli.output import print_rows


@click.command()
@click.argument("sql")
@format_option
@db_option
def query(sql: str, format_: str, db: str | None) -> None:
    """Run SQL on the store, read-only, with everything recorded so far. `-` reads the statement from stdin.

    Tables: spectra_requests, spectra_costs, spectra_hourly_stats, spectra_daily_users, spectra_daily_tags,
    spectra_daily_latency. Views: spectra_daily_stats, spectra_costs_by_model, spectra_costs_by_day, spectra_unpriced,
    spectra_tags, spectra_metadata.
    """
    statement = sys.stdin.read() if sql == "-" else sql
    if not statement.strip():
        raise click.UsageError("the statement is empty")
    columns, rows = open_store(db).query(statement)
    print_rows(_told_apart(columns), rows, format_)


def _told_apart(columns: Sequence[str]) -> list[str]:
    """Columns of one name, as a join gives them, with numbers as DuckDB gives them in a subquery: an object has each key once."""
    found: dict[str, None] = {}
    for column in columns:
        name, number = column, 0
        while name in found:
            number += 1
            name = f"{column}_{number}"
        found[name] = None
    return list(found)
