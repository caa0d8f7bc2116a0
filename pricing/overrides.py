"""The user's own prices, from price files (:mod:`spectra_otel.pricing.pricefile`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.pricing.catalog import Entry, Offer, utc
from spectra_otel.pricing.contract import Contract, ContractPrice, Multiplier
from spectra_otel.pricing.errors import PriceFileError

if TYPE_CHECKING:
    from spectra_otel.pricing.pricefile import FilePrice, WrittenMultiplier, WrittenOffer


@dataclass
class Overrides:
    """The user's own prices: entries by (provider, lower-case name), aliases (provider, alias) → model, and the contract."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    contract: Contract = field(default_factory=Contract)


def load_overrides(paths: Iterable[str | Path]) -> Overrides:
    """The prices in these files, later files over earlier ones. Raises :class:`PriceFileError` naming file and line."""
    from spectra_otel.pricing.pricefile import read_price_file  # and with it YAML: for those who have files

    overrides = Overrides()
    for path in paths:
        file = read_price_file(Path(path))
        for price in file.prices:
            for name in (price.model, *price.names):
                _add(overrides, price, name)
        overrides.contract.multipliers += map(_multiplier, file.multipliers)
        for provider, alias, model in file.aliases:
            overrides.aliases[provider, alias.lower()] = model
        _refuse_alias_loops(file.name, overrides.aliases)
    overrides.contract.prices.sort(key=lambda price: (price.offer.since is not None, price.offer.since))
    overrides.contract.multipliers.sort(key=lambda one: (one.since is not None, one.since))
    return overrides


def _add(overrides: Overrides, price: FilePrice, name: str) -> None:
    offers = [_offer(offer, price.source) for offer in price.offers]
    if price.contract:
        overrides.contract.prices += [ContractPrice(price.provider, name, price.account, offer) for offer in offers]
        return
    key = (price.provider, name.lower())
    earlier = overrides.entries.get(key)
    offers = [*(earlier.offers if earlier else ()), *offers]
    offers.sort(key=lambda offer: (offer.since is not None, offer.since))
    overrides.entries[key] = Entry(price.provider, price.model, price.model_type, tuple(offers))


def _multiplier(one: WrittenMultiplier) -> Multiplier:
    since = utc(datetime.fromisoformat(one.since)) if one.since else None
    return Multiplier(one.provider, Fraction(one.factor), one.model, one.tier, one.account, since)


def _offer(offer: WrittenOffer, source: str) -> Offer:
    raw: dict[str, Any] = {"rates": offer.rates, "tier": offer.tier, "from": source, "currency": offer.currency}
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
