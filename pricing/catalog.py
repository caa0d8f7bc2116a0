"""The catalog: who sells which model at which dated prices, and where each price was read.

One text file, made by :mod:`spectra_otel.pricing.compile` and never edited. Its first line is a JSON header (version, digest,
sources, and where each provider's lines lie); then one line for each entry: its names, a tab, and its offers as JSON. A provider
is indexed when it is first asked for and an entry is parsed when it is first used, so loading costs one read of the file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from spectra_otel.pricing.errors import PriceFileError
from spectra_otel.pricing.units import Rate, parse_rate

DEFAULTS = "*"
"""Name of the entry with prices that hold for every model of a provider (its server-side tools)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Prices of one service tier, from one moment on.

    ``rates`` maps a meter to its rate as written (:mod:`spectra_otel.pricing.units`). ``hours`` are minutes of the UTC day
    (start, end) and ``days`` ISO weekdays; empty means always. ``source`` says where the prices were read, ``origins`` where
    single ones were if elsewhere, ``disputed`` what the other source says of a meter, ``decided`` the same where a page decides.
    ``origin`` is the ``cost_source`` of the record: ``catalog``, or ``override`` for a price of the user's own, which may be for
    one ``account``. ``currency`` is that of the rates, ISO 4217.
    """

    tier: str
    rates: Mapping[str, str]
    since: datetime | None = None
    hours: tuple[tuple[int, int], ...] = ()
    days: frozenset[int] = frozenset()
    source: str = ""
    origin: str = "catalog"
    currency: str = "USD"
    origins: Mapping[str, str] = field(default_factory=dict)
    disputed: Mapping[str, str] = field(default_factory=dict)
    decided: Mapping[str, str] = field(default_factory=dict)
    account: str = ""

    def holds_at(self, at: datetime) -> bool:
        """Whether this offer is in force at ``at`` (aware)."""
        if self.since is not None and at < self.since:
            return False
        if self.days and at.isoweekday() not in self.days:
            return False
        minute = at.hour * 60 + at.minute
        return not self.hours or any(
            start <= minute < end if start < end else minute >= start or minute < end for start, end in self.hours
        )

    def parsed(self) -> dict[str, Rate]:
        """The rates by meter, ready to count with."""
        return {meter: parse_rate(meter.partition(" ")[0], text) for meter, text in self.rates.items()}

    @classmethod
    def read(cls, raw: Mapping[str, Any], origin: str = "catalog") -> Offer:
        """An offer from its JSON."""
        return cls(
            tier=raw.get("tier", "standard"),
            rates=raw["rates"],
            since=utc(datetime.fromisoformat(raw["since"])) if "since" in raw else None,
            hours=tuple(_hours(text) for text in raw.get("hours", "").split()),
            days=frozenset(int(day) for day in raw.get("days", "")),
            source=raw.get("from", ""),
            origin=origin,
            currency=raw.get("currency", "USD"),
            origins=raw.get("origins", {}),
            disputed=raw.get("disputed", {}),
            decided=raw.get("decided", {}),
            account=raw.get("account", ""),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of one provider with all its offers, oldest first; of those in force the last one of a tier counts.

    ``limits`` are the most tokens of the prompt and of the answer, ``None`` where it is not known. ``is_in_both``: both catalogs
    that the prices come from know it. ``pages`` has the page of the provider that a source names for its prices.
    """

    provider: str
    model: str
    model_type: str
    offers: tuple[Offer, ...]
    names: tuple[str, ...] = ()
    limits: tuple[int | None, int | None] = (None, None)
    is_in_both: bool = False
    pages: Mapping[str, str] = field(default_factory=dict)

    def offer(self, tier: str, at: datetime) -> Offer | None:
        """The offer of ``tier`` in force at ``at``."""
        return next((offer for offer in reversed(self.offers) if offer.tier == tier and offer.holds_at(at)), None)

    def where(self, source: str) -> str:
        """``source`` with the page of the provider that it names for the prices of this model."""
        page = self.pages.get(source)
        return f"{page}, by {source}" if page else source

    @property
    def tiers(self) -> tuple[str, ...]:
        """The service tiers that have a price, sorted, standard first."""
        return tuple(sorted({offer.tier for offer in self.offers}, key=lambda tier: (tier != "standard", tier)))


class Catalog:
    """A compiled catalog. Raises :class:`PriceFileError` if ``data`` is not one."""

    def __init__(self, data: bytes, name: str = "catalog") -> None:
        header, _, self._lines = data.partition(b"\n")
        try:
            self._header: dict[str, Any] = json.loads(header)
            self._places: dict[str, list[int]] = self._header["providers"]
            self.version: str = self._header["version"]
            self.sources: list[dict[str, str]] = self._header["sources"]
            size = self._header["size"]
        except (ValueError, KeyError, TypeError) as error:
            raise PriceFileError(f"{name}:1: this is not a price catalog; make one with `make prices`") from error
        if len(self._lines) != size:
            raise PriceFileError(
                f"{name}: has {len(self._lines)} bytes of prices where its header says {size}: truncated?"
            )
        self._index: dict[str, dict[str, bytes]] = {}
        self._entries: dict[tuple[str, str], Entry] = {}

    @property
    def data(self) -> bytes:
        """The file, as it is written."""
        return json.dumps(self._header, sort_keys=True).encode() + b"\n" + self._lines

    @property
    def date(self) -> date:
        """The day its sources were read."""
        return date.fromisoformat(self._header["date"])

    @property
    def digest(self) -> str:
        """SHA-256 of the prices, as the header has it; :meth:`verify` computes it."""
        return str(self._header["sha256"])

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of all providers, sorted."""
        return tuple(sorted(self._places))

    def verify(self) -> bool:
        """Whether the prices are those of the header's digest."""
        import hashlib

        return hashlib.sha256(self._lines).hexdigest() == self.digest

    def names(self, provider: str) -> Mapping[str, bytes]:
        """All names of a provider's models (lower case); empty for an unknown provider."""
        index = self._index.get(provider)
        if index is None:
            index = self._index[provider] = self._read_index(provider)
        return index

    def find(self, provider: str, name: str) -> Entry | None:
        """The entry with exactly this (lower-case) name."""
        entry = self._entries.get((provider, name))
        if entry is None and (line := self.names(provider).get(name)) is not None:
            entry = _entry(provider, line)
            self._entries[provider, name] = entry
        return entry

    def entries(self, provider: str | None = None) -> Iterator[Entry]:
        """All entries, of one provider or of all."""
        for name in self.providers if provider is None else (provider,):
            for line in dict.fromkeys(self.names(name).values()):
                yield _entry(name, line)

    def _read_index(self, provider: str) -> dict[str, bytes]:
        start, length = self._places.get(provider, (0, 0))
        index: dict[str, bytes] = {}
        for line in self._lines[start : start + length].splitlines():
            for name in line[: line.index(b"\t")].decode().lower().split(" "):
                index[name] = line
        return index


def _entry(provider: str, line: bytes) -> Entry:
    names, _, raw = line.partition(b"\t")
    model, *others = names.decode().split(" ")
    value = json.loads(raw)
    context, answer = value.get("limits", (None, None))
    offers = tuple(Offer.read(offer) for offer in value["offers"])
    return Entry(
        provider,
        model,
        value["type"],
        offers,
        tuple(others),
        (context or None, answer or None),
        bool(value.get("both")),
        value.get("pages", {}),
    )


def _hours(text: str) -> tuple[int, int]:
    start, end = ((int(t[:2]) * 60 + int(t[3:])) for t in text.split("-"))
    return start, end


def utc(at: date | None) -> datetime:
    """``at`` as an aware moment: now for ``None``, 00:00 UTC for a date, UTC for a naive datetime."""
    if at is None:
        return datetime.now(UTC)
    if not isinstance(at, datetime):
        return datetime(at.year, at.month, at.day, tzinfo=UTC)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def load_catalog(path: Path) -> Catalog:
    """The catalog in a file. Raises :class:`PriceFileError` if it is not whole."""
    return Catalog(path.read_bytes(), path.name)


def taken_catalog_path() -> Path:
    """Where `spectra prices update` keeps the catalog it took: beneath `SPECTRA_HOME`, else the user's data folder."""
    home = os.environ.get("SPECTRA_HOME", "").strip()
    if home:
        return Path(home).expanduser() / "prices" / "catalog.tsv"
    if sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "spectra" / "prices" / "catalog.tsv"


def current_catalog() -> Catalog:
    """The catalog that `spectra prices update` took, if it is newer than the one that came with this version."""
    shipped = shipped_catalog()
    try:
        taken = load_catalog(taken_catalog_path())
        return taken if taken.verify() and taken.date >= shipped.date else shipped
    except (OSError, RuntimeError, PriceFileError):  # none was taken, or it is damaged: the shipped one is whole
        return shipped


def catalog_age() -> int:
    """Days since the sources of the catalog in use were read."""
    return (datetime.now(UTC).date() - current_catalog().date).days


@cache
def shipped_catalog() -> Catalog:
    """The catalog that came with this version."""
    return load_catalog(Path(__file__).with_name("data") / "catalog.tsv")
