"""Prices one response: which offer holds for this model, tier and moment, and what it comes to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from spectra_otel.pricing import places
from spectra_otel.pricing.catalog import Catalog, Entry, Offer, current_catalog, shipped_catalog, utc
from spectra_otel.pricing.cost import Cost, Priced, PriceLabel
from spectra_otel.pricing.errors import PriceFileError
from spectra_otel.pricing.fx import FxTable, is_currency, read_fx, shipped_fx
from spectra_otel.pricing.match import LONGEST, Match, Matcher, in_ollama_cloud
from spectra_otel.pricing.overrides import Overrides, load_overrides
from spectra_otel.pricing.plan import MEDIA_FIELDS, OTHER_FIELDS, TOKEN_FIELDS, USAGE_FIELDS, Plan, quantity
from spectra_otel.pricing.shares import split, summed
from spectra_otel.pricing.units import Rate, parse_rate, part_of

TIER_NAMES = {
    "": "standard", "default": "standard", "auto": "standard", "on_demand": "standard", "on-demand": "standard",
    "standard_only": "standard", "batches": "batch",
}  # fmt: skip
"""Other words for a tier: OpenAI, Groq, Vertex and Anthropic each have their own for the standard one."""

MODALITIES = {"audio_input": "input", "image_input": "input", "audio_output": "output", "image_output": "output"}
_CACHED_NAMES = 4096
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Terms(NamedTuple):
    """The prices in force for one model, tier and moment: rates by meter, and where each was read.

    ``disputed`` has the price of the other source where they differ by more than 1 %; ``tier`` is the tier of the offer that
    holds, which is the standard one where the tier asked for has no price.
    """

    rates: dict[str, str]
    origins: dict[str, str]
    disputed: dict[str, str]
    borrowed: frozenset[str]
    offer: Offer
    price_id: str

    @property
    def tier(self) -> str:
        return self.offer.tier


class Explanation(NamedTuple):
    """How a name was matched and what it is priced by.

    Without a price ``match`` is ``None`` and ``suggestions`` has known names that look alike; ``terms`` is ``None`` too where
    there was no price yet at that moment.
    """

    provider: str
    model: str
    tier: str
    match: Match | None
    terms: Terms | None
    suggestions: tuple[str, ...]


class Pricer:
    """Prices responses by a catalog and the user's own prices. Holds no state but caches; safe to share between threads."""

    def __init__(
        self,
        catalog: Catalog | None = None,
        overrides: Overrides | None = None,
        *,
        currency: str = "USD",
        fx: FxTable | None = None,
    ) -> None:
        if not is_currency(currency):
            raise PriceFileError(f"currency: {currency!r} is not a currency of ISO 4217, such as USD or EUR")
        self.catalog = catalog or shipped_catalog()
        self.matcher = Matcher(self.catalog, overrides or Overrides())
        self.currency = currency
        self._fx = fx
        self._contract = self.matcher.overrides.contract
        self._by_account = self.matcher.overrides.by_account
        self._timelines: dict[tuple[str, str, str | None, str | None], _Timeline | None] = {}
        self._unpriced = Cost(price_version=self.catalog.version, currency=currency)

    def calculate(
        self,
        provider: str,
        model: str,
        usage: Mapping[str, Any],
        *,
        pricing_tier: str | None = "standard",
        at: date | None = None,
        account: str | None = None,
    ) -> Cost:
        """What a response with ``usage`` (a mapping of record fields) costs. Never raises for what came from a provider.

        A model without a price, and usage that is impossible (negative, not a number, parts larger than the whole), is
        ``unpriced``: its total is ``None``. ``at`` is when the response was started: a datetime (naive: UTC), a date (00:00
        UTC), or ``None`` for now. ``account`` is the one at the provider, for prices, aliases and contracts that hold for one.
        """
        if account is not None and not self._by_account:
            account = None
        try:
            timeline = self._timelines[provider, model, pricing_tier, account]
        except (KeyError, TypeError):
            timeline = self._resolve(provider, model, pricing_tier, account)
        priced = timeline and (timeline.always or timeline.at(at))
        if not priced:
            return self._unpriced
        raw = usage.get("usage_raw")
        if type(raw) is dict and (
            "iterations" in raw or "tool_usage" in raw or "svg_usage" in raw or provider == "vertex"
            or (raw.get("inference_geo") == "us" if provider == "anthropic" else "inference_geo" in raw)
        ):  # fmt: skip
            more = places.premium(provider, model, raw, str(usage.get("endpoint") or ""))
            return self._by_shares(
                priced if more is None else priced.times(more), more, provider, usage, pricing_tier, at, account
            )
        return priced.cost(usage)

    def _by_shares(
        self, priced: Priced, more: places.Premium | None, provider: str, usage: Mapping[str, Any], tier: str | None,
        at: date | None, account: str | None,
    ) -> Cost:  # fmt: skip
        """The cost of a call that may have been made in shares; ``more`` is what the place of it multiplies prices by."""
        found = split(usage)
        if found is None:
            return priced.cost(usage)
        costs = []
        for share in found.shares:
            table: Priced | None = priced
            if share.model is not None:
                table = self.priced(provider, share.model, pricing_tier=tier, at=at, account=account)
                table = table.times(more) if table is not None and more is not None else table
            costs.append((share, self._unpriced if table is None else table.cost(share.usage)))
        return summed(costs, is_exact=found.is_exact)

    def estimate(
        self, provider: str, model: str, *, pricing_tier: str = "standard", at: date | None = None, **usage: Any
    ) -> Cost:
        """What a call would cost; usage fields left out are 0. Raises ``ValueError`` for an unknown field or impossible usage.

        ``total_tokens`` stand for the prompt's or the answer's, whichever is left out; alone they have no price.
        """
        given = {name: value for name, value in usage.items() if value is not None}
        for name, value in given.items():
            if name not in USAGE_FIELDS:
                raise ValueError(f"unknown usage field {name!r} (valid: {', '.join(USAGE_FIELDS)})")
            if name in (*TOKEN_FIELDS, *MEDIA_FIELDS, "total_tokens"):
                quantity(name, value)
        total, left_out = given.get("total_tokens"), {"prompt_tokens", "completion_tokens"} - given.keys()
        if total is not None and len(left_out) == 1:
            part = total - given.get("prompt_tokens", given.get("completion_tokens"))
            given |= {name: quantity(name, part) for name in left_out}
        elif total is None and (given.keys() & set(TOKEN_FIELDS) or not given.keys() & set(OTHER_FIELDS)):
            given |= dict.fromkeys(left_out, 0)
        return self.calculate(provider, model, given, pricing_tier=pricing_tier, at=at)

    def explain(
        self,
        provider: str,
        model: str,
        *,
        pricing_tier: str | None = "standard",
        at: date | None = None,
        account: str = "",
    ) -> Explanation:
        """How the name was matched, which prices hold at ``at`` and where each was read."""
        model, tier = _named(provider, model, pricing_tier)
        match = self.matcher.match(provider, model, account=account, at=at)
        if match is None:
            return Explanation(provider, model, tier, None, None, tuple(self.matcher.suggest(provider, model)))
        return Explanation(provider, model, tier, match, self.terms(match.entry, tier, utc(at), account), ())

    def terms(self, entry: Entry, tier: str, at: datetime, account: str = "") -> Terms | None:
        """The prices in force at ``at``: the tier's own, over the standard tier's, over those for all models."""
        standard, own = entry.offer("standard", at), entry.offer(tier, at)
        chosen = own or standard
        if chosen is None:
            return None
        layers = [offer for e in self.matcher.defaults(entry.provider, account) if (offer := e.offer("standard", at))]
        layers += [offer for offer in (standard, own) if offer is not None]
        layers = [
            offer for offer in layers if offer.currency == chosen.currency
        ]  # amounts of two currencies are no sum
        terms = Terms({}, {}, {}, _borrowed(standard, own), chosen, _price_id(entry, chosen))
        for offer in layers:
            for meter, rate in offer.rates.items():
                terms.rates[meter] = rate
                terms.origins[meter] = offer.origins.get(meter, offer.source)
                terms.disputed.pop(meter, None)
            terms.disputed.update(offer.disputed)
        if standard is not None and own is not None:
            for meter, direction in MODALITIES.items():
                if _is_no_price_apart(meter, direction, standard, own):
                    terms.rates[meter] = own.rates[direction]
        return terms

    def plan(
        self, provider: str, model: str, *, pricing_tier: str | None = "standard", at: date | None = None
    ) -> Plan | None:
        """The price table that :meth:`calculate` uses; ``None`` for a model without a price."""
        priced = self.priced(provider, model, pricing_tier=pricing_tier, at=at)
        return priced.plan if priced else None

    def priced(
        self, provider: str, model: str, *, pricing_tier: str | None = "standard", at: date | None = None,
        account: str | None = None,
    ) -> Priced | None:  # fmt: skip
        """What :meth:`calculate` asks for the cost of a usage; ``None`` for a model without a price."""
        account = account if self._by_account else None
        try:
            timeline = self._timelines[provider, model, pricing_tier, account]
        except (KeyError, TypeError):
            timeline = self._resolve(provider, model, pricing_tier, account)
        return (timeline.always or timeline.at(at)) if timeline else None

    def _resolve(self, provider: Any, model: Any, pricing_tier: Any, account: Any) -> _Timeline | None:
        """Look a name up and remember the answer."""
        if not isinstance(provider, str) or not isinstance(model, str) or not isinstance(pricing_tier, str | None):
            return None
        timeline = self._timeline(provider, *_named(provider, model, pricing_tier), str(account or ""))
        if len(self._timelines) >= _CACHED_NAMES:
            self._timelines.clear()  # names come from the wire: this bounds memory, no more
        if len(model) <= LONGEST:
            self._timelines[provider, model, pricing_tier, account] = timeline
        return timeline

    def _timeline(self, provider: str, name: str, tier: str, account: str) -> _Timeline | None:
        renamed = self.matcher.overrides.alias_starts(provider, name.strip().lower())
        found = {at: self.matcher.match(provider, name, account=account, at=at) for at in (_FIRST, *sorted(renamed))}
        entries = [match.entry for match in found.values() if match is not None]
        if not entries:
            return None
        offers = [o for e in (*entries, *self.matcher.defaults(provider, account)) for o in e.offers]
        offers += [price.offer for price in self._contract.prices if price.provider == provider]
        starts = [*renamed, *self._contract.starts(), *(offer.since for offer in offers if offer.since is not None)]
        if any(offer.currency != self.currency for offer in offers):
            starts += self.fx.changes()

        def priced(at: datetime) -> Priced | None:
            match = found[max(start for start in found if start <= at)]
            terms = match and self.terms(match.entry, tier, at, account)
            return self._priced(match.entry, name, terms, tier, account, at) if match and terms else None

        return _Timeline(offers, starts, priced)

    @property
    def fx(self) -> FxTable:
        """The exchange rates: the user's, or those that came with this version."""
        if self._fx is None:
            self._fx = shipped_fx()
        return self._fx

    def _priced(self, entry: Entry, name: str, terms: Terms, tier: str, account: str, at: datetime) -> Priced | None:
        rates = {meter: _rate(meter.partition(" ")[0], text) for meter, text in terms.rates.items()}
        found = (
            self._contract.rates(entry, (name,), tier, terms.tier, account, at, rates, terms.offer.currency)
            if self._contract
            else None
        )
        contract = self._in_ledger(entry, terms, found[0], found[1], at) if found else None
        return self._in_ledger(
            entry, terms, rates, terms.offer.currency, at, known=terms.tier == tier, contract=contract
        )

    def _in_ledger(
        self, entry: Entry, terms: Terms, rates: dict[str, Rate], currency: str, at: datetime, *, known: bool = True,
        contract: Priced | None = None,
    ) -> Priced | None:  # fmt: skip
        """The rates as a price table whose amounts are in the ledger's currency; ``None`` without a rate of exchange."""
        exchange = self.fx.rate(currency, self.currency, at) if currency != self.currency else None
        if exchange is None and currency != self.currency:
            return None
        label = PriceLabel(
            terms.offer.origin, terms.price_id, self.catalog.version, bool(terms.disputed), self.currency,
            exchange.rate if exchange else None,
        )  # fmt: skip
        return Priced(
            Plan(entry.model_type, rates), label, tier_known=known, borrowed=terms.borrowed,
            is_estimate=bool(exchange and exchange.is_old), contract=contract,
        )  # fmt: skip


class _Timeline:
    """The price tables of one (provider, model, tier) over time; keeps the one that was asked for last."""

    def __init__(
        self, offers: Iterable[Offer], starts: Iterable[datetime], priced: Callable[[datetime], Priced | None]
    ) -> None:
        offers = list(offers)
        self._priced = priced
        self._starts = sorted(set(starts))
        minutes = {minute for offer in offers for span in offer.hours for minute in span}
        by_the_day = any(offer.hours or offer.days for offer in offers)
        self._minutes = sorted({0, 24 * 60, *minutes}) if by_the_day else []
        self._epoch: tuple[datetime, datetime, Priced | None] = (_LAST, _FIRST, None)
        self.always: Priced | None = None if self._starts or by_the_day else priced(utc(None))

    def at(self, at: date | None) -> Priced | None:
        """The price table at a moment; ``None`` where there was no price yet."""
        moment = at if isinstance(at, datetime) and at.tzinfo is UTC else utc(at)
        start, end, priced = self._epoch
        if not start <= moment < end:
            start, end = self._span(moment)
            priced = self._priced(moment)
            self._epoch = (start, end, priced)
        return priced

    def _span(self, moment: datetime) -> tuple[datetime, datetime]:
        """The moments around this one between which no price changes."""
        changes = [_FIRST, *self._starts, _LAST]
        if self._minutes:
            day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            changes += [day + span for minutes in self._minutes if (span := timedelta(minutes=minutes)) < _LAST - day]
        return max(c for c in changes if c <= moment), min((c for c in changes if c > moment), default=_LAST)


def _borrowed(standard: Offer | None, own: Offer | None) -> frozenset[str]:
    """Meters of media and modalities that a tier takes over from the standard one, which makes the price an estimate.

    (Providers do bill caches and tools of another tier at the standard price where its table does not list them.)
    """
    if standard is None or own is None or own is standard:
        return frozenset()
    left_out = [meter for meter in standard.rates if meter not in own.rates]
    modalities = {m for m in left_out if m in MODALITIES and not _is_no_price_apart(m, MODALITIES[m], standard, own)}
    return frozenset(modalities | {meter.partition(" ")[0] for meter in left_out if part_of(meter) == "media"})


def _is_no_price_apart(meter: str, direction: str, standard: Offer, own: Offer) -> bool:
    """A modality at the price of its direction is not priced apart, so the tier's price of the direction holds for it too."""
    if meter not in standard.rates or meter in own.rates or direction not in own.rates:
        return False
    return standard.rates[meter] == standard.rates.get(direction)


def _price_id(entry: Entry, offer: Offer) -> str:
    tier = "" if offer.tier == "standard" else f"#{offer.tier}"
    since = f"@{offer.since.date().isoformat()}" if offer.since else ""
    return f"{entry.provider}/{entry.model}{tier}{since}"


def tier_name(tier: str | None) -> str:
    """The catalog's name of a service tier."""
    name = (tier or "").strip().lower()
    return TIER_NAMES.get(name, name)


def _named(provider: str, model: str, tier: str | None) -> tuple[str, str]:
    """Model and tier as the catalog names them: Ollama's cloud is a tier of records, and a part of a model's name."""
    name = tier_name(tier)
    return (in_ollama_cloud(model), "standard") if name == "cloud" and provider == "ollama" else (model, name)


@cache
def _rate(meter: str, text: str) -> Rate:
    return parse_rate(meter, text)


def pricer(
    paths: Iterable[str | Path] | None = None, *, currency: str = "USD", fx_rates: str | Path | None = None
) -> Pricer:
    """A pricer with the price files ``paths``; ``None`` takes those that ``SPECTRA_PRICES`` names.

    ``currency`` is that of all amounts, ``fx_rates`` a table of one's own (``None``: what ``SPECTRA_FX_RATES`` names, else the
    shipped one). The catalog is the one that ``spectra prices update`` took, else the shipped one. Raises
    :class:`~spectra_otel.pricing.errors.PriceFileError` with one line if a file cannot be used.
    """
    if paths is None and currency == "USD" and fx_rates is None:
        return _default()
    named = fx_rates or os.environ.get("SPECTRA_FX_RATES", "").strip()
    overrides = load_overrides(_named_files() if paths is None else paths)
    return Pricer(current_catalog(), overrides, currency=currency, fx=read_fx(Path(named)) if named else None)


def _named_files() -> list[str]:
    files = os.environ.get("SPECTRA_PRICES", "").replace(",", os.pathsep).split(os.pathsep)
    return [file.strip() for file in files if file.strip()]


@cache
def _default() -> Pricer:
    return pricer(_named_files())


_in_use: Pricer | None = None


def use(prices: Pricer | None) -> None:
    """Have this process reckon with ``prices`` from now on, as its records are priced; None: with what :func:`pricer` gives."""
    global _in_use
    _in_use = prices


def in_use() -> Pricer:
    """The prices that bounds, budgets and estimates reckon with, in US dollars.

    Raises :class:`~spectra_otel.pricing.errors.PriceFileError` if ``SPECTRA_PRICES`` names a file that cannot be used.
    """
    return _in_use or _default()


def calculate(
    provider: str,
    model: str,
    usage: Mapping[str, Any],
    *,
    pricing_tier: str | None = "standard",
    at: date | None = None,
    account: str | None = None,
) -> Cost:
    """:meth:`Pricer.calculate` of :func:`in_use`. Raises only if ``SPECTRA_PRICES`` names a file that cannot be used."""
    return in_use().calculate(provider, model, usage, pricing_tier=pricing_tier, at=at, account=account)


def estimate(
    provider: str, model: str, *, pricing_tier: str = "standard", at: date | None = None, **usage: Any
) -> Cost:
    """:meth:`Pricer.estimate` of :func:`in_use`."""
    return in_use().estimate(provider, model, pricing_tier=pricing_tier, at=at, **usage)
