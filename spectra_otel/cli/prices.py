"""`spectra estimate` and `spectra prices`: what a call would cost, and where a price comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from spectra_otel.cli.options import format_option, moment
from spectra_otel.cli.output import print_object
from spectra_otel.model.fields import FIELDS

F = TypeVar("F", bound=Callable[..., Any])

COST_FIELDS = (
    "total_cost_in_cents", "prompt_cost_in_cents", "completion_cost_in_cents", "media_cost_in_cents", "tool_cost_in_cents",
    "cost_status", "cost_source", "price_id", "price_version", "price_disputed", "currency",
)  # fmt: skip
_TYPES: dict[str, click.ParamType[Any]] = {
    "BIGINT": click.IntRange(min=0),
    "DOUBLE": click.FloatRange(min=0),
    "VARCHAR": click.STRING,
}
USAGE_FIELDS = tuple(field for field in FIELDS.values() if field.group == "Usage" and field.type in _TYPES)


def _usage_options(command: F) -> F:
    """One option per usage field of the record."""
    for field in reversed(USAGE_FIELDS):
        option = click.option(f"--{field.name.replace('_', '-')}", type=_TYPES[field.type], help=field.doc)
        command = option(command)
    return command


def _tool_counts(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        name, equals, number = value.partition("=")
        if not (name and equals and number.isdecimal()):
            raise click.BadParameter(f"{value!r}; valid: web_search=3", ctx, param)
        counts[name] = counts.get(name, 0) + int(number)
    return counts


@click.command()
@click.option("--provider", required=True, help="Who serves the call: openai, anthropic, google, azure, …")
@click.option("--model", required=True, help="The model's name, as a request has it.")
@click.option(
    "--tier", "pricing_tier", default="standard", show_default=True, help="Service tier: batch, flex, priority, …"
)
@click.option("--at", metavar="TIME", callback=moment, help="Price as of then  [default: now].")
@_usage_options
@click.option(
    "--tool", "tools", multiple=True, callback=_tool_counts, metavar="NAME=N", help="Billed tool calls; repeatable."
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if the cost is not known.")
@format_option
def estimate(
    provider: str,
    model: str,
    pricing_tier: str,
    at: datetime | None,
    tools: dict[str, int],
    strict: bool,
    format_: str,
    **usage: Any,
) -> None:
    """Price a call before it is made. A quantity that is not given is 0."""
    from spectra_otel import pricing

    quantities = {name: value for name, value in usage.items() if value is not None}
    if tools:
        quantities["tool_call_counts"] = tools
    try:
        cost = pricing.estimate(provider, model, pricing_tier=pricing_tier, at=at, **quantities)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print_object({name: getattr(cost, name) for name in COST_FIELDS}, format_)
    if cost.total_cost_in_cents is None:
        _say_unknown(provider, model)
        if strict:
            raise click.exceptions.Exit(1)


def _say_unknown(provider: str, model: str) -> None:
    from spectra_otel import pricing

    near = pricing.suggestions(provider, model)
    hint = f"; near: {', '.join(near)}" if near else ""
    click.echo(f'no price known for provider "{provider}", model "{model}"{hint}', err=True)
