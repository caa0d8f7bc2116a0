"""The user's own prices, from price files (:mod:`spectra_otel.pricing.pricefile`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.pricing.catalog import Entry, Offer, utc
from spectra_otel.pricing.contract import Contract, ContractPrice, Multiplier
from spectra_otel.pricing.errors import PriceFileError

if TYPE_CHECKING:
    from spectra_otel.pricing.written import FilePrice, WrittenAlias, WrittenMultiplier, WrittenOffer

    Aliases = dict[tuple[str, str], list["Alias"]]


@dataclass(frozen=True, slots=True)
class Alias:
    """What a name means, from a moment on; ``account`` is the ``provider_account`` where it does, empty: all of them.

    ``place`` is where it is written, file and line.
    """

    model: str
    since: datetime | None = None
    account: str = ""
    place: str = ""


@dataclass
class Overrides:
    """The user's own prices: entries and aliases by (provider, lower-case name), and the contract."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=dict)
    contract: Contract = field(default_factory=Contract)

    @property
    def by_account(self) -> bool:
        """Whether it matters to which account a call went."""
        own = any(offer.account for entry in self.entries.values() for offer in entry.offers)
        return own or bool(self.contract) or any(one.account for means in self.aliases.values() for one in means)

    def meaning(self, provider: str, name: str, account: str, at: date | None) -> str | None:
        """The model that a name is an alias of: for this account before for all, and the newest that holds."""
        held = [
            one for one in self.aliases.get((provider, name), ())
            if one.account in ("", account) and (one.since is None or one.since <= utc(at))
        ]  # fmt: skip
        return max(held, key=lambda one: (bool(one.account), one.since is not None, one.since)).model if held else None

    def alias_starts(self, provider: str, name: str) -> list[datetime]:
        """The moments at which a name may begin to mean another model."""
        if (provider, name) not in self.aliases:
            return []
        return [one.since for (p, _), means in self.aliases.items() if p == provider for one in means if one.since]


def load_overrides(paths: Iterable[str | Path]) -> Overrides:
    """The prices in these files, later files over earlier ones. Raises :class:`PriceFileError` naming file and line."""
    from spectra_otel.pricing.pricefile import read_price_file  # and with it YAML: for those who have files

    overrides = Overrides()
    for path in paths:
        file = read_price_file(Path(path))
        for some_hours in (False, True):  # of the offers in force the last counts: those of some hours interrupt others
            for price in file.prices:
                offers = [_offer(one, price) for one in price.offers if bool(one.hours or one.days) == some_hours]
                for name in (price.model, *price.names) if offers else ():
                    _add(overrides, price, name, offers)
        overrides.contract.multipliers += map(_multiplier, file.multipliers)
        for written in file.aliases:
            _add_alias(overrides.aliases, written)
        _refuse_alias_loops(overrides.aliases)
    overrides.contract.prices.sort(key=lambda price: (price.offer.since is not None, price.offer.since))
    overrides.contract.multipliers.sort(key=lambda one: (one.since is not None, one.since))
    return overrides


def _add(overrides: Overrides, price: FilePrice, name: str, offers: list[Offer]) -> None:
    if price.contract:
        overrides.contract.prices += [ContractPrice(price.provider, name, price.account, offer) for offer in offers]
        return
    key = (price.provider, name.lower())
    earlier = overrides.entries.get(key)
    offers = [*(earlier.offers if earlier else ()), *offers]
    offers.sort(key=lambda offer: (bool(offer.account), offer.since is not None, offer.since))
    model_type = price.model_type or (earlier.model_type if earlier else "")
    overrides.entries[key] = Entry(price.provider, price.model, model_type, tuple(offers))


def _multiplier(one: WrittenMultiplier) -> Multiplier:
    since = utc(datetime.fromisoformat(one.since)) if one.since else None
    return Multiplier(one.provider, Fraction(one.factor), one.model, one.tier, one.account, since)


def _add_alias(aliases: Aliases, written: WrittenAlias) -> None:
    """Add a meaning; one of the same account and day replaces that of an earlier file."""
    since = utc(datetime.fromisoformat(written.since)) if written.since else None
    one = Alias(written.model, since, written.account, written.place)
    means = aliases.setdefault((written.provider, written.alias.lower()), [])
    means[:] = [other for other in means if (other.since, other.account) != (since, written.account)] + [one]


def _offer(offer: WrittenOffer, price: FilePrice) -> Offer:
    raw: dict[str, Any] = {"rates": offer.rates, "tier": offer.tier, "from": price.source, "currency": offer.currency}
    raw |= {"account": price.account} if price.account else {}
    raw |= {key: value for key in ("since", "hours", "days") if (value := getattr(offer, key))}
    return Offer.read(raw, "override")


def _refuse_alias_loops(aliases: Aliases) -> None:
    """Follow every meaning of every alias, whenever and wherever it holds."""

    def follow(provider: str, path: list[str]) -> None:
        for one in aliases.get((provider, path[-1]), ()):
            name = one.model.lower()
            if name in path:
                raise PriceFileError(f"{one.place}: aliases of {provider} go in a circle: {' → '.join([*path, name])}")
            follow(provider, [*path, name])

    for provider, alias in aliases:
        follow(provider, [alias])
