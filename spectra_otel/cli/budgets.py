"""`spectra budgets`: set, look at, enable, disable, remove and rebuild budgets, in the ledger that all apps here share."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from spectra_otel.budgets import api
from spectra_otel.budgets.amounts import cents
from spectra_otel.budgets.book import book
from spectra_otel.budgets.definition import MODES, Budget, LimitConfig
from spectra_otel.budgets.ledger import BucketState
from spectra_otel.budgets.windows import WEEKDAYS
from spectra_otel.cli.options import db_option, format_option, open_store
from spectra_otel.cli.output import dollars, print_rows
from spectra_otel.errors import ConfigError

LISTED = (
    "name", "limit_cost_in_cents", "limit_tokens", "limit_requests", "period", "by", "mode", "on_exceeded", "enabled",
)  # fmt: skip
SHOWN = (
    "name", "bucket", "period", "resets_at", "limit_cost_in_cents", "settled_cost_in_cents", "reserved_cost_in_cents",
    "remaining_cost_in_cents", "settled_tokens", "settled_requests", "blocked_requests", "state",
)  # fmt: skip
SPARE = (
    "period", "settled_requests", "settled_tokens", "blocked_requests", "reserved_cost_in_cents", "resets_at",
)  # fmt: skip
"""What a narrow terminal does without."""
HEADINGS = {
    "limit_cost_in_cents": "limit", "settled_cost_in_cents": "settled", "reserved_cost_in_cents": "reserved",
    "remaining_cost_in_cents": "remaining", "settled_tokens": "tokens", "settled_requests": "requests",
    "blocked_requests": "blocked", "limit_tokens": "tokens", "limit_requests": "requests",
}  # fmt: skip
_WATCH_SECONDS = 2.0


@click.group()
def budgets() -> None:
    """Set and look at budgets. They hold in every app that shares the ledger, within a second."""


@budgets.command("set")
@click.argument("name")
@click.option("--cost", metavar="MONEY", help='Limit in money: "5.00 USD".')
@click.option("--tokens", type=click.IntRange(min=1), help="Limit in tokens, input and output together.")
@click.option("--requests", type=click.IntRange(min=1), help="Limit in calls.")
@click.option(
    "--period", default="monthly", show_default=True, help="hourly, daily, weekly, monthly, total, 90s, 15m, …"
)
@click.option(
    "--by", multiple=True, metavar="ATTRIBUTE", help="One bucket per value: user.id, metadata.tenant, …; repeatable."
)
@click.option("--match", multiple=True, metavar="KEY=VALUE", help="Only calls that have this; repeatable.")
@click.option("--hard", "mode", flag_value="hard", default="hard", help="Stop calls that do not fit  [default].")
@click.option("--soft", "mode", flag_value="soft", type=click.Choice(MODES), help="Let calls through and mark them.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=float,
    help="Part of the limit to be told at; repeatable.  [default: 0.8, 0.95]",
)
@click.option("--timezone", default="UTC", show_default=True, help="Where days begin.")
@click.option(
    "--week-start", type=click.Choice(WEEKDAYS), default="monday", show_default=True, help="First day of weeks."
)
@click.option("--model", "models", multiple=True, help="A model that may be called, * stands for anything; repeatable.")
@click.option("--provider", "providers", multiple=True, help="A provider that may be called; repeatable.")
@click.option("--on-unpriced", default="block", show_default=True, help="block, mark, bound or module:function.")
@click.option(
    "--on-exceeded", default="block", show_default=True, help="block, fit, switch:<model> or module:function."
)
@click.option("--on-unavailable", default="", help="allow or block.  [default: block if hard, allow if soft]")
def set_(name: str, cost: str | None, tokens: int | None, requests: int | None, **options: Any) -> None:
    """Add a budget, or change the one of that name. What it has counted stays."""
    match = dict(_pair(text) for text in options.pop("match"))
    thresholds = list(options.pop("thresholds"))
    lists: dict[str, Any] = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    budget = Budget(name, LimitConfig(cost, tokens, requests), match=match, **lists)
    if thresholds:
        budget.thresholds = thresholds
    api.set_from_command_line(budget)
    click.echo(f"budget '{name}' is set")


@budgets.command("list")
@format_option
def list_(format_: str) -> None:
    """List the definitions of budgets."""
    rows = []
    for one in api.definitions():
        limit = one.amounts
        money = None if limit.cost is None else cents(limit.cost)
        rows.append(
            (one.name, money, limit.tokens, limit.requests, one.spelled_period, one.by, one.mode, one.on_exceeded, one.enabled)
        )  # fmt: skip
    print_rows(LISTED, rows, format_, headings=HEADINGS)


@budgets.command()
@click.argument("name", required=False)
@click.option("--bucket", help="One bucket.")
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until interrupted.")
@format_option
def status(name: str | None, bucket: str | None, watch: bool, format_: str) -> None:
    """Show what is settled, reserved and left in the windows that are now."""
    while True:
        found = api.status(name, bucket)
        if watch:
            click.clear()
            click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        columns = SHOWN if format_ == "table" else api.COLUMNS
        rows = [[getattr(row, column) for column in columns] for row in found]
        print_rows(columns, rows, format_, headings=HEADINGS, spare=SPARE)
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


@budgets.command()
@click.argument("name")
def enable(name: str) -> None:
    """Have a budget hold again."""
    api.enable(name)
    click.echo(f"budget '{name}' is enabled")


@budgets.command()
@click.argument("name")
def disable(name: str) -> None:
    """Have a budget hold no more. What it has counted stays."""
    api.disable(name)
    click.echo(f"budget '{name}' is disabled")


@budgets.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a budget and what it has counted."""
    if not api.remove(name):
        raise ConfigError(f"budget '{name}': there is none of that name")
    click.echo(f"budget '{name}' is removed")


@budgets.command()
@click.argument("name")
@click.option("--apply", "applies", is_flag=True, help="Set what is settled to what the records say.")
@db_option
@format_option
def rebuild(name: str, applies: bool, db: str | None, format_: str) -> None:
    """Compute from the records what a budget should have settled, and print the difference.

    Nothing is changed without --apply. Records that were pruned, and calls of apps that keep their records elsewhere, are missing
    from it. Windows that began before the oldest record are left as they are.
    """
    budget = api.get(name)
    if budget is None:
        raise ConfigError(f"budget '{name}': there is none of that name")
    columns, found = open_store(db).query("SELECT * FROM spectra_requests ORDER BY started_at")
    records = [dict(zip(columns, row, strict=True)) for row in found]
    wanted = {(state.bucket, state.start): state for state in api.recount(records, budget)}
    oldest = records[0]["started_at"].timestamp() if records else float("inf")
    counted = {(s.bucket, s.start): s for s in book.ledger().states(name) if s.period == budget.spelled_period}
    rows, changed = [], []
    for key in sorted(wanted.keys() | counted.keys()):
        now = counted.get(key) or BucketState(name, key[0], budget.spelled_period, key[1])
        then = wanted.get(key) or BucketState(name, key[0], budget.spelled_period, key[1])
        if key[1] < oldest and budget.window(oldest).start != key[1] and key not in wanted:
            continue
        rows.append((key[0], datetime.fromtimestamp(key[1], UTC), cents(now.settled.cost), cents(then.settled.cost),
                     cents(then.settled.cost - now.settled.cost), then.settled.tokens - now.settled.tokens,
                     then.settled.requests - now.settled.requests))  # fmt: skip
        changed.append(then)
    names = (
        "bucket", "window_start", "settled_cost_in_cents", "recorded_cost_in_cents", "difference_in_cents",
        "difference_tokens", "difference_requests",
    )  # fmt: skip
    print_rows(
        names, rows, format_, headings={name: name.removesuffix("_in_cents") for name in names if "cents" in name}
    )
    if applies:
        book.ledger().replace(changed)
        total = sum((row[4] for row in rows), cents(0))
        click.echo(f"set; the difference was {'-' if total < 0 else ''}{dollars(abs(total))}", err=True)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r}; valid: KEY=VALUE", param_hint="--match")
    return key, value
