"""Prices one response: which offer holds, and what it comes to, to the last digit and in microseconds.

Amounts are whole numbers of 1e-8 cents all the way: each part (prompt, completion, media, tool) is an exact rational, rounded
once, half to even; the total is the sum of the rounded parts. No float takes part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple

from spectra_otel.pricing.catalog import DEFAULTS, Catalog, Entry, Offer, shipped_catalog, utc
from spectra_otel.pricing.match import Match, Matcher
from spectra_otel.pricing.plan import (
    LARGEST,
    OTHER_FIELDS,
    TOKEN_FIELDS,
    USAGE_FIELDS,
    Charge,
    Plan,
    UsageError,
    quantity,
)  # fmt: skip
from spectra_otel.pricing.pricefile import Overrides, load_overrides
from spectra_otel.pricing.units import Rate, parse_rate

TIER_NAMES = {
    "": "standard", "default": "standard", "auto": "standard", "on_demand": "standard", "on-demand": "standard",
    "standard_only": "standard", "batches": "batch",
}  # fmt: skip
"""Other words for a tier: OpenAI, Groq, Vertex and Anthropic each have their own for the standard one."""

_CACHED_OFFERS = 4096
_LARGEST_UNITS = 10**18  # DECIMAL(18,8) holds no more
_EXACT = Context(prec=60)
_scaleb = _EXACT.scaleb
_EIGHT = Decimal(-8)


class Cost(NamedTuple):
    """What a response cost, in cents. ``None`` is not known, or not part of this call; the names are those of the record."""

    total_cost_in_cents: Decimal | None = None
    prompt_cost_in_cents: Decimal | None = None
    completion_cost_in_cents: Decimal | None = None
    media_cost_in_cents: Decimal | None = None
    tool_cost_in_cents: Decimal | None = None
    cost_status: str = "unpriced"
    cost_source: str | None = None
    price_id: str | None = None
    price_version: str | None = None
    price_disputed: bool | None = None
    currency: str = "USD"


class Terms(NamedTuple):
    """The prices in force for one model, tier and moment, and where each was read."""

    rates: dict[str, str]
    origins: dict[str, str]
    disputed: dict[str, str]
    price_id: str
    tier: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a name was matched and what it is priced by; ``match`` is ``None`` if it has no price, then see ``suggestions``."""

    provider: str
    model: str
    tier: str
    match: Match | None
    terms: Terms | None
    suggestions: tuple[str, ...]
    tier_known: bool


class _Quick:
    """Whole-number weights of the common token meters, for one length of context."""

    __slots__ = ("cached", "completion_per", "input", "output", "prompt_per", "written", "written_1h")

    def __init__(self, plan: Plan, prompt_tokens: int) -> None:
        rates = plan.rates
        plain = rates["input"].at(prompt_tokens)
        cached = rates.get("cache_read", rates["input"]).at(prompt_tokens)
        written = rates.get("cache_write", rates["input"]).at(prompt_tokens)
        written_1h = rates.get("cache_write_1h", rates["input"]).at(prompt_tokens)
        output = rates["output"].at(prompt_tokens) if "output" in rates else Rate(0, 1)
        parts = [rate.units(1) for rate in (plain, cached, written, written_1h)]
        self.prompt_per = lcm(*(part.denominator for part in parts))
        self.input, self.cached, self.written, self.written_1h = (
            part.numerator * (self.prompt_per // part.denominator) for part in parts
        )
        self.output, self.completion_per = output.units(1).as_integer_ratio()


class _Priced:
    """A plan with what every cost made by it has in common."""

    __slots__ = ("has_output", "knows_1h", "plan", "quick", "starts", "status", "tail")

    def __init__(self, plan: Plan, terms: Terms, source: str, version: str, tier_known: bool) -> None:
        self.plan = plan
        self.status = "free" if plan.is_free and tier_known else "priced" if tier_known else "estimated"
        self.tail = (source, terms.price_id, version, bool(terms.disputed), "USD")
        self.starts = tuple(sorted({start for rate in plan.rates.values() for start, _ in rate.steps}))
        self.has_output = "output" in plan.rates
        self.knows_1h = "cache_write_1h" in plan.rates or "cache_write" not in plan.rates
        self.quick: tuple[_Quick, ...] | None = None
        if "input" in plan.rates and not plan.rates.keys() & {"reasoning", "request"}:
            self.quick = tuple(_Quick(plan, length) for length in (0, *(start + 1 for start in self.starts)))

    def cost(self, usage: Mapping[str, Any]) -> Cost:
        """The cost by the definition; the quick way must give the same."""
        try:
            bill = self.plan.charges(usage)
        except UsageError:
            return Cost(price_version=self.tail[2])
        if not bill.charges:
            known = self.plan.is_free and not bill.missing
            return _cost({"prompt": 0}, "free", self.tail) if known else Cost(price_version=self.tail[2])
        units = _rounded_parts(bill.charges)
        if sum(units.values()) >= _LARGEST_UNITS:
            return Cost(price_version=self.tail[2])
        status = self.status
        if bill.missing:
            status = "partial"
        elif bill.assumed and status != "free":
            status = "estimated"
        return _cost(units, status, self.tail)


class _Offers:
    """All that can be asked of one (provider, model, tier): plans by the moment they hold at."""

    __slots__ = ("_make", "_plans", "always", "entry")

    def __init__(self, entry: Entry, dated: bool, make: Any) -> None:
        self.entry = entry
        self._make = make
        self._plans: dict[tuple[int, ...], _Priced] = {}
        self.always: _Priced | None = None if dated else make(utc(None))[1]

    def at(self, at: date | None) -> _Priced | None:
        """The plan in force at ``at``; ``None`` where there was no price yet."""
        moment = at if isinstance(at, datetime) and at.tzinfo is not None else utc(at)
        key, priced = self._make(moment, self._plans)
        if priced is not None:
            self._plans[key] = priced
        return priced


class Pricer:
    """Prices responses by a catalog and the user's own prices. Holds no state but caches; safe to share between threads."""

    def __init__(self, catalog: Catalog | None = None, overrides: Overrides | None = None) -> None:
        self.catalog = catalog or shipped_catalog()
        self.matcher = Matcher(self.catalog, overrides or Overrides())
        self._offers: dict[tuple[str, str, str | None], _Offers | None] = {}

    def calculate(
        self,
        provider: str,
        model: str,
        usage: Mapping[str, Any],
        *,
        pricing_tier: str | None = "standard",
        at: date | None = None,
    ) -> Cost:
        """What a response with ``usage`` (a mapping of record fields) costs. Never raises for what came from a provider.

        A model without a price, and usage that is impossible (negative, not a number, parts larger than the whole), is
        ``unpriced``: its total is ``None``.
        """
        try:
            offers = self._offers[provider, model, pricing_tier]
        except (KeyError, TypeError):
            offers = self._resolve(provider, model, pricing_tier)
        if offers is None:
            return Cost(price_version=self.catalog.version)
        priced = offers.always or offers.at(at)
        if priced is None:
            return Cost(price_version=self.catalog.version)
        if priced.quick is None:
            return priced.cost(usage)
        get = usage.get
        if any(map(get, OTHER_FIELDS)):
            return priced.cost(usage)
        prompt, completion = get("prompt_tokens"), get("completion_tokens")
        cached, written = get("cached_tokens") or 0, get("cache_write_tokens") or 0
        written_1h, reasoning = get("cache_write_1h_tokens") or 0, get("reasoning_tokens") or 0
        if not (
            type(prompt) is int and type(completion) is int and type(cached) is int and type(written) is int
            and type(written_1h) is int and type(reasoning) is int and cached >= 0 and 0 <= written_1h <= written
            and cached + written <= prompt <= LARGEST and 0 <= reasoning <= completion <= LARGEST
            and (priced.has_output or not completion) and (priced.knows_1h or not written_1h)
        ):  # fmt: skip
            return priced.cost(usage)
        quick = priced.quick[0]
        if priced.starts:
            quick = priced.quick[sum(prompt > start for start in priced.starts)]
        prompt_units = (
            (prompt - cached - written) * quick.input
            + cached * quick.cached
            + (written - written_1h) * quick.written
            + written_1h * quick.written_1h
        )
        if quick.prompt_per != 1:
            prompt_units = round(Fraction(prompt_units, quick.prompt_per))
        if not priced.has_output:
            if prompt_units >= _LARGEST_UNITS:
                return Cost(price_version=priced.tail[2])
            prompt_cost = _scaleb(prompt_units, _EIGHT)
            return Cost(prompt_cost, prompt_cost, None, None, None, priced.status, *priced.tail)
        completion_units = completion * quick.output
        if quick.completion_per != 1:
            completion_units = round(Fraction(completion_units, quick.completion_per))
        if prompt_units + completion_units >= _LARGEST_UNITS:
            return Cost(price_version=priced.tail[2])
        return Cost(
            _scaleb(prompt_units + completion_units, _EIGHT), _scaleb(prompt_units, _EIGHT),
            _scaleb(completion_units, _EIGHT), None, None, priced.status, *priced.tail,
        )  # fmt: skip

    def estimate(
        self, provider: str, model: str, *, pricing_tier: str = "standard", at: date | None = None, **usage: Any
    ) -> Cost:
        """What a call would cost; usage fields left out are 0. Raises ``ValueError`` for an unknown field or impossible usage."""
        for name in usage:
            if name not in USAGE_FIELDS:
                raise ValueError(f"unknown usage field {name!r} (valid: {', '.join(USAGE_FIELDS)})")
        for name, value in usage.items():
            if (
                name in TOKEN_FIELDS
                or name.endswith(("_count", "_seconds", "_characters", "_units"))
                or name == "pages"
            ):
                quantity(name, value)
        defaults = {"prompt_tokens": 0, "completion_tokens": 0} if not usage.keys() & set(OTHER_FIELDS) else {}
        if usage.keys() & set(TOKEN_FIELDS):
            defaults = {"prompt_tokens": 0, "completion_tokens": 0}
        given = {name: value for name, value in usage.items() if value is not None}
        return self.calculate(provider, model, defaults | given, pricing_tier=pricing_tier, at=at)

    def explain(
        self, provider: str, model: str, *, pricing_tier: str | None = "standard", at: date | None = None
    ) -> Explanation:
        """How the name was matched, which prices hold at ``at`` and where each was read."""
        tier = tier_name(pricing_tier)
        match = self.matcher.match(provider, model)
        if match is None:
            return Explanation(provider, model, tier, None, None, tuple(self.matcher.suggest(provider, model)), False)
        known = match.entry.offer(tier, utc(at)) is not None
        return Explanation(provider, model, tier, match, self.terms(match.entry, tier, utc(at)), (), known)

    def terms(self, entry: Entry, tier: str, at: datetime) -> Terms | None:
        """The prices in force: the provider's tools, under the standard tier, under the tier asked for."""
        standard, own = entry.offer("standard", at), entry.offer(tier, at)
        if standard is None and own is None:
            return None
        tools = self.catalog.find(entry.provider, DEFAULTS)
        mine = self.matcher.overrides.entries.get((entry.provider, DEFAULTS))
        layers = [e.offer("standard", at) for e in (tools, mine) if e is not None]
        layers += [standard, own if own is not standard else None]
        rates: dict[str, str] = {}
        origins: dict[str, str] = {}
        disputed: dict[str, str] = {}
        for offer in layers:
            if offer is not None:
                rates.update(offer.rates)
                origins.update({meter: offer.origins.get(meter, offer.source) for meter in offer.rates})
                for meter in offer.rates:
                    disputed.pop(meter, None)
                disputed.update(offer.disputed)
        chosen = own or standard
        assert chosen is not None
        return Terms(rates, origins, disputed, _price_id(entry, chosen), chosen.tier)

    def _resolve(self, provider: Any, model: Any, pricing_tier: Any) -> _Offers | None:
        if not isinstance(provider, str) or not isinstance(model, str) or not isinstance(pricing_tier, str | None):
            return None
        match = self.matcher.match(provider, model)
        offers = self._make_offers(match.entry, tier_name(pricing_tier)) if match else None
        if len(self._offers) >= _CACHED_OFFERS:
            self._offers.clear()  # names come from the wire: a bound, not a strategy
        if len(model) <= 256:
            self._offers[provider, model, pricing_tier] = offers
        return offers

    def _make_offers(self, entry: Entry, tier: str) -> _Offers:
        tools = [e for e in (self.catalog.find(entry.provider, DEFAULTS),) if e is not None]
        dated = [offer for e in (entry, *tools) for offer in e.offers if offer.since or offer.hours or offer.days]
        everything = [offer for e in (entry, *tools) for offer in e.offers]

        def make(
            at: datetime, known: Mapping[tuple[int, ...], _Priced] | None = None
        ) -> tuple[tuple[int, ...], _Priced | None]:
            key = tuple(i for i, offer in enumerate(everything) if offer.holds_at(at))
            if known is not None and key in known:
                return key, known[key]
            terms = self.terms(entry, tier, at)
            if terms is None:
                return key, None
            rates = {meter: _rate(meter.partition(" ")[0], text) for meter, text in terms.rates.items()}
            plan = Plan(entry.model_type, rates)
            return key, _Priced(plan, terms, entry.origin, self.catalog.version, terms.tier == tier)

        return _Offers(entry, bool(dated), make)


def _rounded_parts(charges: Iterable[Charge]) -> dict[str, int]:
    """Units of 1e-8 cents by part, each part summed exactly and then rounded once, half to even."""
    parts: dict[str, Fraction] = {}
    for charge in charges:
        parts[charge.part] = parts.get(charge.part, Fraction(0)) + charge.units
    return {part: round(units) for part, units in parts.items()}


def _cost(units: Mapping[str, int], status: str, tail: tuple[Any, ...]) -> Cost:
    amounts = (
        _scaleb(units[part], _EIGHT) if part in units else None for part in ("prompt", "completion", "media", "tool")
    )
    return Cost(_scaleb(sum(units.values()), _EIGHT), *amounts, status, *tail)


def _price_id(entry: Entry, offer: Offer) -> str:
    tier = "" if offer.tier == "standard" else f"#{offer.tier}"
    since = f"@{offer.since.date().isoformat()}" if offer.since else ""
    return f"{entry.provider}/{entry.model}{tier}{since}"


def tier_name(tier: str | None) -> str:
    """The catalog's name of a service tier."""
    name = (tier or "").strip().lower()
    return TIER_NAMES.get(name, name)


@cache
def _rate(meter: str, text: str) -> Rate:
    return parse_rate(meter, text)


def pricer(paths: Iterable[str | Path] | None = None) -> Pricer:
    """A pricer with the override files ``paths``; ``None`` takes those that ``SPECTRA_PRICES`` names.

    Raises :class:`~spectra_otel.pricing.errors.PriceFileError` with one line if a file cannot be used.
    """
    if paths is None:
        return _default()
    return Pricer(overrides=load_overrides(paths))


@cache
def _default() -> Pricer:
    files = os.environ.get("SPECTRA_PRICES", "").replace(",", os.pathsep).split(os.pathsep)
    return Pricer(overrides=load_overrides(file.strip() for file in files if file.strip()))


def calculate(
    provider: str,
    model: str,
    usage: Mapping[str, Any],
    *,
    pricing_tier: str | None = "standard",
    at: date | None = None,
) -> Cost:
    """:meth:`Pricer.calculate` of the default pricer."""
    return _default().calculate(provider, model, usage, pricing_tier=pricing_tier, at=at)


def estimate(
    provider: str, model: str, *, pricing_tier: str = "standard", at: date | None = None, **usage: Any
) -> Cost:
    """:meth:`Pricer.estimate` of the default pricer."""
    return _default().estimate(provider, model, pricing_tier=pricing_tier, at=at, **usage)
