"""What differs between two catalogs, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from spectra_otel.pricing.catalog import Catalog, Entry
from spectra_otel.pricing.units import parse_rate


class Change(NamedTuple):
    """A price that is not what it was. ``old`` or ``new`` is ``None`` where there is none; ``since`` is an ISO day or empty."""

    provider: str
    model: str
    tier: str
    meter: str
    old: str | None
    new: str | None
    since: str

    def __str__(self) -> str:
        what = (
            f"{self.provider}/{self.model}" + ("" if self.tier == "standard" else f" {self.tier}") + f", {self.meter}"
        )
        when = f" since {self.since}" if self.since else ""
        if self.old is None:
            return f"{what}: new, {self.new}{when}"
        if self.new is None:
            return f"{what}: was {self.old}, has no price any more"
        return f"{what}: {self.old} → {self.new}{when}{self._percent()}"

    def _percent(self) -> str:
        assert self.old is not None
        assert self.new is not None
        old, new = (parse_rate(self.meter.partition(" ")[0], text) for text in (self.old, self.new))
        if not old.pico:
            return ""
        change = 100 * (new.pico * old.per - old.pico * new.per) / (old.pico * new.per)
        return f" ({change:+.1f} %)" if change else ""


def changes(old: Catalog, new: Catalog, at: datetime) -> Iterator[Change]:
    """Every price in force at ``at`` that differs, by provider and model."""
    for provider in sorted({*old.providers, *new.providers}):
        names = {entry.model for catalog in (old, new) for entry in catalog.entries(provider)}
        seen: set[Change] = set()
        for name in sorted(names):
            before, after = (catalog.find(provider, name.lower()) for catalog in (old, new))
            for change in _of_entry(provider, name, before, after, at):
                if change not in seen:
                    seen.add(change)
                    yield change


def _of_entry(provider: str, name: str, before: Entry | None, after: Entry | None, at: datetime) -> Iterator[Change]:
    tiers = dict.fromkeys(tier for entry in (before, after) if entry for tier in entry.tiers)
    for tier in tiers:
        one, two = (entry.offer(tier, at) if entry else None for entry in (before, after))
        olds, news = (dict(offer.rates) if offer else {} for offer in (one, two))
        since = two.since.date().isoformat() if two and two.since else ""
        for meter in dict.fromkeys((*olds, *news)):
            if not _same(meter, olds.get(meter), news.get(meter)):
                yield Change(provider, name, tier, meter, olds.get(meter), news.get(meter), since)


def _same(meter: str, one: str | None, two: str | None) -> bool:
    if one is None or two is None:
        return one == two
    base = meter.partition(" ")[0]
    return one == two or parse_rate(base, one) == parse_rate(base, two)
