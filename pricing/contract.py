"""The user's contract: own prices and multipliers beside the list price, dated, for all accounts of a provider or for one.

The list price of a record never changes by it: what a call costs by contract stands in ``contract_cost_in_cents``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction

from spectra_otel.pricing.catalog import DEFAULTS, Entry, Offer
from spectra_otel.pricing.units import Rate


@dataclass(frozen=True, slots=True)
class ContractPrice:
    """Prices of one model by contract; ``account`` is the ``provider_account`` it is for, empty: all of them."""

    provider: str
    model: str
    account: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class Multiplier:
    """What the list price is multiplied by. ``model`` may have `*`; ``tier`` and ``account`` are empty for all of them."""

    provider: str
    factor: Fraction
    model: str = "*"
    tier: str = ""
    account: str = ""
    since: datetime | None = None


@dataclass
class Contract:
    """All prices and multipliers of the user; of those that hold the last one counts."""

    prices: list[ContractPrice] = field(default_factory=list)
    multipliers: list[Multiplier] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.prices or self.multipliers)

    def starts(self) -> Iterable[datetime]:
        """The moments at which something of it begins."""
        for since in (*(price.offer.since for price in self.prices), *(one.since for one in self.multipliers)):
            if since is not None:
                yield since

    def rates(
        self,
        entry: Entry,
        names: Iterable[str],
        tier: str,
        listed_tier: str,
        account: str,
        at: datetime,
        listed: Mapping[str, Rate],
        currency: str,
    ) -> tuple[dict[str, Rate], str] | None:
        """The rates by contract for a model that is called ``names``, and their currency; ``None`` where the contract has none.

        Prices come before multipliers: a model with prices of its own is not multiplied. Those of the standard tier hold for
        another where the list has none for it, either (``listed_tier``).
        """
        wanted = {name.lower() for name in (*names, entry.model, *entry.names, DEFAULTS)}
        own = [
            price.offer for price in self.prices
            if price.provider == entry.provider and price.model.lower() in wanted and price.account in ("", account)
            and price.offer.tier in (tier, listed_tier) and price.offer.holds_at(at)
        ]  # fmt: skip
        if own:
            best = max(
                own, key=lambda offer: offer.tier == tier
            )  # the first of the largest: keep the last in its place
            best = next(offer for offer in reversed(own) if offer.tier == best.tier)
            kept = {meter: rate for meter, rate in listed.items() if best.currency == currency}
            return kept | best.parsed(), best.currency
        for one in reversed(self.multipliers):
            if (
                one.provider == entry.provider and one.account in ("", account) and one.tier in ("", tier)
                and (one.since is None or one.since <= at) and any(fnmatchcase(name, one.model.lower()) for name in wanted)
            ):  # fmt: skip
                return {meter: rate.times(one.factor) for meter, rate in listed.items()}, currency
        return None
