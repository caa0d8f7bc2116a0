"""`spectra prices check`, `diff`, `update` and `export`: the catalog as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spectra_otel.cli.options import format_option
from spectra_otel.cli.output import print_rows
from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from spectra_otel.pricing import Pricer
    from spectra_otel.pricing.catalog import Catalog
    from spectra_otel.pricing.changes import Change

_MOST_CHANGES = 200


def _pricer() -> Pricer:
    from spectra_otel.cli.prices import pricer

    return pricer()


@click.command()
@click.option("--provider", metavar="TEXT", help="This provider alone.")
@click.option("--strict", is_flag=True, help="Exit with status 1 if anything is disputed.")
@format_option
def check(provider: str | None, strict: bool, format_: str) -> None:
    """Say where the sources of the prices disagree by more than 1 %, and which models only one of them knows.

    `disputed`: a price in force that another source has otherwise, or that nobody read on the provider's page; a cost by it is
    marked in the record. `decided`: the sources disagree, and the page in the last column was read. `one source`: a model one
    catalog alone knows, and no file of ours decides.
    """
    rows = list(_findings(_pricer(), provider))
    print_rows(("finding", "provider", "model", "tier", "meter", "price", "other", "source"), rows, format_)
    disputed, decided, alone = (sum(row[0] == it for row in rows) for it in ("disputed", "decided", "one source"))
    if format_ == "table":
        click.echo(f"{disputed} prices disputed, {decided} decided, {alone} models known to one source", err=True)
    if strict and disputed:
        raise click.exceptions.Exit(1)


def _findings(priced_by: Pricer, provider: str | None) -> Iterator[tuple[Any, ...]]:
    at = datetime.now(UTC)
    catalogs = {"genai-prices", "litellm"}
    for finding in ("disputed", "decided"):
        for entry in priced_by.catalog.entries(provider):
            for tier in entry.tiers:
                offer = entry.offer(tier, at)
                for meter, other in getattr(offer, finding).items() if offer else ():
                    page = entry.where(offer.origins.get(meter, offer.source)) if offer else ""
                    rate = offer.rates.get(meter) if offer else None
                    yield finding, entry.provider, entry.model, tier, meter, rate, other, page
    for entry in priced_by.catalog.entries(provider):
        sources = {source for offer in entry.offers for source in (offer.source, *offer.origins.values())}
        if not entry.is_in_both and sources <= catalogs and len(sources) == 1:
            source = next(iter(sources))
            yield "one source", entry.provider, entry.model, None, None, None, source, entry.where(source)


@click.command()
@click.option(
    "--from", "source", metavar="SOURCE", default="genai-prices", show_default=True,
    help="A file or an address (a catalog of ours, or LiteLLM's table), genai-prices or litellm as installed here.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would change; take nothing.")
def update(source: str, dry_run: bool) -> None:
    """Take a newer price catalog, whole or not at all, and say in words what changes.

    A changed price is a new entry from today on. Prices that were decided by hand, with a page, stay.
    The catalog replaced stays readable beside it. Nothing but an address given here is ever asked for over the network.
    """
    from spectra_otel import pricing
    from spectra_otel.pricing.changes import changes
    from spectra_otel.pricing.update import read_update, take

    now = datetime.now(UTC)
    try:
        current = pricing.current_catalog()
        newer = read_update(source, current, now.date())
        if newer.date < current.date:
            raise ConfigError(f"{source}: is of {newer.date}, older than the catalog in use, of {current.date}")
        found = list(changes(current, newer, now))
        _say(found)
        if not found:
            click.echo(f"{source} changes no price; the catalog in use is {current.version}")
        elif dry_run:
            click.echo(f"{len(found)} prices would change; nothing was taken")
        else:
            path = take(newer)
            click.echo(f"{len(found)} prices changed; {newer.version} is in use from now on ({path})")
    except pricing.PriceFileError as error:
        raise ConfigError(str(error)) from error


def _say(found: Sequence[Change]) -> None:
    for change in found[:_MOST_CHANGES]:
        click.echo(str(change))
    if len(found) > _MOST_CHANGES:
        click.echo(f"… and {len(found) - _MOST_CHANGES} more")


@click.command()
@click.argument("old", default="shipped")
@click.argument("new", required=False)
def diff(old: str, new: str | None) -> None:
    """Say in words what differs between two price catalogs: OLD (default: the shipped one) and NEW (default: the one in use).

    Each is a version that an update kept, `shipped`, or what `spectra prices update --from` takes. Nothing is taken.
    """
    from spectra_otel import pricing
    from spectra_otel.pricing.changes import changes

    now = datetime.now(UTC)
    try:
        current = pricing.current_catalog()
        older = _catalog(old, current, now)
        newer = _catalog(new, current, now) if new else current
        found = list(changes(older, newer, now))
    except pricing.PriceFileError as error:
        raise ConfigError(str(error)) from error
    _say(found)
    click.echo(f"{len(found)} prices differ between {older.version} and {newer.version}")


def _catalog(name: str, current: Catalog, now: datetime) -> Catalog:
    from spectra_otel.pricing.catalog import load_catalog, shipped_catalog, taken_catalog_path
    from spectra_otel.pricing.update import read_update

    if name in ("shipped", shipped_catalog().version):
        return shipped_catalog()
    kept = taken_catalog_path().parent / "history" / f"{name}.tsv"
    return load_catalog(kept) if kept.is_file() else read_update(name, current, now.date())


@click.command()
@click.option(
    "--format", "form", type=click.Choice(("ottl", "genai-prices", "litellm", "json")), default="json", show_default=True,
    help="ottl: for a collector's transform processor, short lists.",
)  # fmt: skip
@click.option(
    "--models", metavar="LIST", help="Each as provider/model, with commas between.  [default: all; ottl needs a list]"
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
def export(form: str, models: str | None, output: Path | None) -> None:
    """Write the prices in force for other tools. Models that a form cannot express are named on stderr."""
    from spectra_otel.pricing.export import export as exported

    names = [name.strip() for name in (models or "").split(",") if name.strip()]
    try:
        result = exported(_pricer(), form, names)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if output is None:
        click.echo(result.text, nl=False)
    else:
        try:
            output.write_text(result.text, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{output}: {error.strerror}") from error
    for line in result.left_out[:20] if names else ():
        click.echo(f"left out: {line}", err=True)
    if result.left_out and not names:
        click.echo(f"left out: {len(result.left_out)} models that {form} cannot express", err=True)
