"""`spectra estimate` and `spectra prices`: what a call would cost, and where a price comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spectra_otel.cli import catalog
from spectra_otel.cli.options import format_option, moment
from spectra_otel.cli.output import print_object, print_rows, printable
from spectra_otel.errors import ConfigError
from spectra_otel.model.fields import FIELDS

if TYPE_CHECKING:
    from spectra_otel.pricing import Pricer

F = TypeVar("F", bound=Callable[..., Any])

COST_FIELDS = (
    "total_cost_in_cents", "prompt_cost_in_cents", "completion_cost_in_cents", "media_cost_in_cents", "tool_cost_in_cents",
    "contract_cost_in_cents", "cost_status", "cost_source", "price_id", "price_version", "price_disputed", "currency", "fx_rate",
)  # fmt: skip
_TYPES: dict[str, click.ParamType[Any]] = {
    "BIGINT": click.IntRange(min=0),
    "DOUBLE": click.FloatRange(min=0),
    "VARCHAR": click.STRING,
}
MAIN_PROVIDERS = ("openai", "anthropic", "google", "mistral", "cohere", "groq", "xai", "deepseek")
"""Whose names are looked through for a name that nobody knows."""
_METER_COLUMNS = ("input", "cache_read", "cache_write", "output")
SPARE = ("other", "cache_write", "cache_read", "model_type")
"""What a narrow terminal does without."""
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
@click.option("--at", metavar="TIME", callback=moment, help="Price as of then.  [default: now]")
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
    quantities = {name: value for name, value in usage.items() if value is not None}
    if tools:
        quantities["tool_call_counts"] = tools
    priced_by = pricer()
    try:
        cost = priced_by.estimate(provider, model, pricing_tier=pricing_tier, at=at, **quantities)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print_object({name: getattr(cost, name) for name in COST_FIELDS}, format_)
    if cost.total_cost_in_cents is None:
        if priced_by.matcher.match(provider, model):
            click.echo("no cost: the usage contradicts itself, or the model had no price then", err=True)
        else:
            click.echo(unknown(priced_by, provider, model), err=True)
        if strict:
            raise click.exceptions.Exit(1)


def pricer() -> Pricer:
    """The pricer of this process, the user's price files included. Raises :class:`ConfigError` for a bad one."""
    from spectra_otel import pricing

    try:
        return pricing.pricer()
    except pricing.PriceFileError as error:
        raise ConfigError(str(error)) from error


def unknown(priced_by: Pricer, provider: str, model: str) -> str:
    """One line that says that a name has no price, and which names are near."""
    near = priced_by.matcher.suggest(provider, model)
    hint = f"; near: {', '.join(near)}" if near else ""
    return printable(f'no price is known for provider "{provider}", model "{model}"{hint}')


@click.group()
def prices() -> None:
    """Look at the price catalog, with the prices of your own that SPECTRA_PRICES names; check, update and export it."""


prices.add_command(catalog.check)
prices.add_command(catalog.diff)
prices.add_command(catalog.update)
prices.add_command(catalog.export)


@prices.command("list")
@click.option("--provider", metavar="TEXT", help="Prices of this provider.")
@click.option("--model", metavar="TEXT", help="Models whose name has this in it; * stands for anything.")
@click.option("--tier", "pricing_tier", metavar="TEXT", help="Prices of this service tier.")
@click.option("--at", metavar="TIME", callback=moment, help="Prices as of then.  [default: now]")
@format_option
def list_(provider: str | None, model: str | None, pricing_tier: str | None, at: datetime | None, format_: str) -> None:
    """List prices in USD: of a million tokens or characters, of one unit of anything else.

    JSON has all meters of an entry in `rates`, as the catalog writes them.
    """
    rows = list(_listed(pricer(), provider, model, pricing_tier, at or datetime.now(UTC)))
    if format_ == "json":
        print_rows(("provider", "model", "model_type", "tier", "price_disputed", "rates"), rows, format_)
    else:
        columns = ("provider", "model", "model_type", "tier", *_METER_COLUMNS, "other")
        print_rows(columns, ((*row[:4], *_spread(row[5])) for row in rows), format_, spare=SPARE)


def _listed(
    priced_by: Pricer, provider: str | None, model: str | None, tier: str | None, at: datetime
) -> Iterator[tuple[Any, ...]]:
    """(provider, model, model type, tier, disputed, rates) of what is in force, the user's own prices first."""
    matcher = priced_by.matcher
    own = {key: entry for key in matcher.overrides.entries if (entry := matcher.own(*key))}
    entries = [entry for (name, _), entry in own.items() if provider in (None, name)]
    entries += [e for e in priced_by.catalog.entries(provider) if (e.provider, e.model.lower()) not in own]
    for entry in entries:
        if model and not any(fnmatch(name.lower(), f"*{model.lower()}*") for name in (entry.model, *entry.names)):
            continue
        for name in entry.tiers if tier is None else (tier,):
            offer = entry.offer(name, at)
            if offer is not None:
                yield (
                    entry.provider,
                    entry.model,
                    entry.model_type,
                    name,
                    bool(offer.disputed),
                    dict(offer.rates),
                )


def _spread(rates: Mapping[str, str]) -> Iterator[str | None]:
    """Rates as columns: the usual meters each have one, the others share the last."""
    yield from (rates.get(meter) for meter in _METER_COLUMNS)
    yield ", ".join(f"{meter} {rate}" for meter, rate in rates.items() if meter not in _METER_COLUMNS) or None


@prices.command()
@click.argument("provider", required=False)
@click.argument("model", required=False)
@click.option(
    "--explain", metavar="MODEL", help="How every provider that knows this name matches it, or names that are near."
)
@click.option(
    "--tier", "pricing_tier", default="standard", show_default=True, help="Service tier: batch, flex, priority, …"
)
@click.option("--at", metavar="TIME", callback=moment, help="Prices as of then.  [default: now]")
@format_option
def show(
    provider: str | None, model: str | None, explain: str | None, pricing_tier: str, at: datetime | None, format_: str
) -> None:
    """Show how a model's name is matched, the prices that hold for it and where each was read.

    Rates are in USD of a million tokens or characters, of one unit of anything else. Exit status 1 if there is no price.
    """
    priced_by = pricer()
    if explain is not None:
        _explain(priced_by, explain, provider, pricing_tier, at, format_)
        return
    if provider is None or model is None:
        raise click.UsageError("name PROVIDER and MODEL, or --explain MODEL")
    found = priced_by.explain(provider, model, pricing_tier=pricing_tier, at=at)
    if found.match is None or found.terms is None:
        raise ConfigError(unknown(priced_by, provider, model))
    terms, entry = found.terms, found.match.entry
    rates = [
        {
            "meter": meter,
            "rate": rate,
            "source": entry.where(terms.origins.get(meter, terms.offer.source)),
            "disputed": terms.disputed.get(meter),
        }
        for meter, rate in terms.rates.items()
    ]
    about = {
        "provider": entry.provider, "model": entry.model, "model_type": entry.model_type, "matched_by": found.match.rule,
        "tier": terms.tier, "price_id": terms.price_id, "cost_source": terms.offer.origin,
        "price_version": priced_by.catalog.version,
    }  # fmt: skip
    if format_ == "json":
        print_object({**about, "rates": rates}, format_)
        return
    if format_ == "table":
        print_object(about, format_)
        if terms.tier != found.tier:
            click.echo(f'no price for tier "{found.tier}": the standard one holds, and a cost is "estimated"', err=True)
    print_rows(tuple(rates[0]) if rates else ("meter",), [tuple(rate.values()) for rate in rates], format_)


def _explain(priced_by: Pricer, model: str, provider: str | None, tier: str, at: datetime | None, format_: str) -> None:
    """One row for each provider that knows the name: the rule that led to it, the entry, and where its price was read."""
    rows = []
    for name in (provider,) if provider else priced_by.catalog.providers:
        found = priced_by.explain(name, model, pricing_tier=tier, at=at)
        if found.match is not None and found.terms is not None:
            terms = found.terms
            rows.append(
                (
                    name,
                    found.match.rule,
                    terms.price_id,
                    terms.rates.get("input"),
                    found.match.entry.where(terms.offer.source),
                    bool(terms.disputed),
                )
            )
    if not rows:
        near = sorted(
            {n for p in ((provider,) if provider else MAIN_PROVIDERS) for n in priced_by.matcher.suggest(p, model, 2)}
        )
        raise ConfigError(
            printable(f'no provider has a price for "{model}"' + (f"; near: {', '.join(near[:6])}" if near else ""))
        )
    print_rows(("provider", "matched_by", "price_id", "input", "source", "price_disputed"), rows, format_)
