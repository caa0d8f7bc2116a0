"""`spectra requests`: recorded calls, as a list or one by one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from spectra_otel.cli.filters import filter_options, filters_of
from spectra_otel.cli.options import db_option, format_option, open_store, since_option, until_option
from spectra_otel.cli.output import HEADINGS, print_object, print_rows, printable
from spectra_otel.errors import StoreError
from spectra_otel.model.fields import FIELDS

TABLE_COLUMNS = (
    "started_at", "provider", "model", "prompt_tokens", "cached_tokens", "completion_tokens", "total_cost_in_cents",
    "cost_status", "latency_ms", "span_id",
)  # fmt: skip
SPARE = ("cached_tokens", "latency_ms", "completion_tokens", "prompt_tokens", "provider", "started_at")
"""What a narrow terminal does without."""


@click.group(invoke_without_command=True)
@since_option
@until_option
@filter_options
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@format_option
@db_option
@click.pass_context
def requests(
    ctx: click.Context,
    /,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    format_: str,
    db: str | None,
    **choices: Any,
) -> None:
    """List recorded calls, newest first; JSON and CSV have every column."""
    if ctx.invoked_subcommand:
        return
    store = open_store(db)
    columns = TABLE_COLUMNS if format_ == "table" else tuple(FIELDS)
    rows = store.requests(since, until, filters_of(choices), limit)
    print_rows(columns, ([row[name] for name in columns] for row in rows), format_, headings=HEADINGS, spare=SPARE)


@requests.command()
@click.argument("id")
@format_option
@db_option
@click.pass_context
def show(ctx: click.Context, /, id: str, format_: str, db: str | None) -> None:
    """Show one call with all that is known of it. ID is its id, <trace_id>-<span_id>, or its span id alone."""
    store = open_store(db or (ctx.parent.params["db"] if ctx.parent else None))
    row = store.request(id) if "-" in id else next(iter(store.requests(filters={"span_id": id}, limit=1)), None)
    if row is None:
        raise StoreError(f'no request "{printable(id)}" in {store.path}')
    print_object(row, format_)
