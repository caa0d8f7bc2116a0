"""The user's own prices, from price files (:mod:`spectra_otel.pricing.pricefile`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.pricing.catalog import Entry, Offer
from spectra_otel.pricing.errors import PriceFileError

if TYPE_CHECKING:
    from spectra_otel.pricing.pricefile import WrittenOffer


@dataclass
class Overrides:
    """The user's own prices: entries by (provider, lower-case name), and aliases (provider, alias) → model."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)


def load_overrides(paths: Iterable[str | Path]) -> Overrides:
    """The prices in these files, later files over earlier ones. Raises :class:`PriceFileError` naming file and line."""
    from spectra_otel.pricing.pricefile import read_price_file  # and with it YAML: for those who have files

    overrides = Overrides()
    for path in paths:
        file = read_price_file(Path(path))
        for price in file.prices:
            for name in (price.model, *price.names):
                key = (price.provider, name.lower())
                earlier = overrides.entries.get(key)
                offers = [
                    *(earlier.offers if earlier else ()),
                    *(_offer(offer, price.source) for offer in price.offers),
                ]
                offers.sort(key=lambda offer: (offer.since is not None, offer.since))
                overrides.entries[key] = Entry(price.provider, price.model, price.model_type, tuple(offers))
        for provider, alias, model in file.aliases:
            overrides.aliases[provider, alias.lower()] = model
        _refuse_alias_loops(file.name, overrides.aliases)
    return overrides


def _offer(offer: WrittenOffer, source: str) -> Offer:
    raw: dict[str, Any] = {"rates": offer.rates, "tier": offer.tier, "from": source}
    raw |= {key: value for key in ("since", "hours", "days") if (value := getattr(offer, key))}
    return Offer.read(raw, "override")


def _refuse_alias_loops(name: str, aliases: dict[tuple[str, str], str]) -> None:
    for (provider, alias), model in aliases.items():
        seen, at = [alias], model.lower()
        while (provider, at) in aliases:
            if at in seen:
                raise PriceFileError(f"{name}: aliases of {provider} go in a circle: {' → '.join([*seen, at])}")
            seen.append(at)
            at = aliases[provider, at].lower()
