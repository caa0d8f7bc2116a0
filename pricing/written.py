"""What a price file says, as it is written: rates and days are text still, checked but not read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WrittenOffer:
    """Prices of one tier from one day on, as written: ISO day, hours like ``00:30-16:30 18:00-19:00``, days like ``12345``."""

    rates: dict[str, str]
    tier: str = "standard"
    since: str = ""
    hours: str = ""
    days: str = ""
    currency: str = "USD"


@dataclass(frozen=True)
class FilePrice:
    """One item of ``prices``. ``replaces`` drops what other sources say of the model."""

    provider: str
    model: str
    names: tuple[str, ...]
    model_type: str
    offers: tuple[WrittenOffer, ...]
    source: str
    replaces: bool = False
    contract: bool = False
    account: str = ""


@dataclass(frozen=True)
class WrittenMultiplier:
    """One item of ``multipliers``; ``factor`` as written."""

    provider: str
    model: str
    factor: str
    tier: str = ""
    since: str = ""
    account: str = ""


@dataclass(frozen=True)
class WrittenAlias:
    """One of ``aliases``; ``place`` is file and line."""

    provider: str
    alias: str
    model: str
    since: str = ""
    account: str = ""
    place: str = ""


@dataclass(frozen=True)
class PriceFile:
    """A parsed file."""

    name: str
    prices: tuple[FilePrice, ...] = ()
    aliases: tuple[WrittenAlias, ...] = ()
    multipliers: tuple[WrittenMultiplier, ...] = ()
