"""`spectra costs`: what calls cost, by any key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from spectra_otel.cli.filters import filter_options, filters_of
from spectra_otel.cli.options import db_option, format_option, open_store, since_option, until_option
from spectra_otel.cli.output import HEADINGS, print_rows
from spectra_otel.model.store import GROUPS

TOTALS = (
    "requests", "unpriced_requests", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens",
    "total_cost_in_cents", "partial_requests", "failed_requests",
)  # fmt: skip
SPARE = (
    "reasoning_tokens", "cached_tokens", "failed_requests", "completion_tokens", "prompt_tokens", "partial_requests",
)  # fmt: skip
"""What a narrow terminal does without. How many calls have no price is not among them: a total never goes without."""


def group(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A key to group by, or a usage error that lists the valid ones."""
    if value in GROUPS or (value.startswith("metadata.") and value != "metadata."):
        return value
    raise click.BadParameter(f"{value!r}; valid: {', '.join(GROUPS)}, metadata.KEY", ctx, param)


@click.command()
@click.option(
    "--by",
    default="model",
    show_default=True,
    callback=group,
    metavar="KEY",
    help=f"{', '.join(GROUPS)} or metadata.KEY.",
)
@since_option
@until_option
@filter_options
@format_option
@db_option
def costs(
    by: str, since: datetime | None, until: datetime | None, format_: str, db: str | None, **choices: Any
) -> None:
    """Show what calls cost, dearest first, with how many of them could not be priced.

    Grouped by tag, a call with two tags counts under both.
    """
    store = open_store(db)
    rows = store.costs(by, since, until, filters_of(choices))
    columns = (by, *TOTALS)
    print_rows(columns, ([row[name] for name in columns] for row in rows), format_, headings=HEADINGS, spare=SPARE)
