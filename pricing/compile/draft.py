"""What a source says of one model name, in one shape for all sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from spectra_otel.pricing.units import MILLION, TOKEN_METERS
from spectra_otel.pricing.written import WrittenOffer

Rates = dict[str, str]


@dataclass
class Draft:
    """A model as one source has it. ``group`` names that belong together (a model and its snapshots)."""

    provider: str
    name: str
    model_type: str
    offers: list[WrittenOffer] = field(default_factory=list)
    group: str = ""
    source: str = ""
    page: str = ""
    """The page of the provider that the source names for its prices, with the day it was checked where it says one."""
    limits: tuple[int, int] = (0, 0)
    """Most tokens of the prompt and of the answer; 0 is not known."""

    def offer(self, tier: str, on: str) -> WrittenOffer | None:
        """The offer of a tier that holds on the ISO day ``on``, and has no hours."""
        offers = (o for o in reversed(self.offers) if o.tier == tier and not o.hours and o.since <= on)
        return next(offers, None)

    @property
    def has_history(self) -> bool:
        """Whether the standard price changed at a known day."""
        return any(offer.tier == "standard" and offer.since for offer in self.offers)


Drafts = dict[tuple[str, str], Draft]


def plain(number: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rate_text(meter: str, usd: Decimal, per: int = 1) -> str:
    """A rate as the catalog writes it, ``usd`` for ``per`` units; float artefacts are cut to 12 significant digits."""
    if meter in TOKEN_METERS or meter == "character":
        usd, per = usd * MILLION / per, MILLION
    if usd:
        usd = round(usd, min(11 - usd.adjusted(), 12))
    suffix = "" if per == 1 or meter in TOKEN_METERS or meter == "character" else f"/{per}"
    return plain(usd) + suffix


def ladder(base: str, steps: Iterator[tuple[int, str]] | list[tuple[int, str]]) -> str:
    """A rate with its steps, as the catalog writes it; steps that change nothing are left out."""
    text = last = base
    for start, rate in sorted(steps):
        if rate != last:
            text += f" above {start}: {rate}"
            last = rate
    return text
