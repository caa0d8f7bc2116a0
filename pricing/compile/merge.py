"""Two catalogs and our hand-kept prices become entries.

Hand-kept prices win, meter by meter; then the first catalog, which is dated and checked against the pages (genai-prices), then
the second (LiteLLM), which fills what the first does not have. For Bedrock the order is reversed where the first has one price
alone: it prices a plain model id as if it were called through a region with a premium. Where the two differ by more than 1 % on
a current price that we did not decide, the price is marked as disputed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from spectra_otel.pricing.catalog import DEFAULTS
from spectra_otel.pricing.compile.draft import Draft, Drafts, Rates
from spectra_otel.pricing.match import DATE_SUFFIX
from spectra_otel.pricing.pricefile import NOT_READ
from spectra_otel.pricing.units import parse_rate
from spectra_otel.pricing.written import PriceFile, WrittenOffer

SECOND_FIRST = frozenset({"bedrock"})
COMPARED = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "audio_output",
    "tool.web_search",
)
GENERIC = ("character", "page", "search", "image", "audio_second", "video_second")

EXTRAS = ("cache_", "audio_cache_", "image_cache_", "tool.")
"""Meters that go with others: a model priced by these alone is a slip of its name."""

LISTED_LATE = ("batch", "flex", "priority")

Json = dict[str, Any]


@dataclass(frozen=True)
class Disagreement:
    """Where the two catalogs differ by more than 1 %: the price taken, and the other."""

    provider: str
    model: str
    meter: str
    taken: str
    other: str


def merge(
    first: Drafts, second: Drafts, hand: Iterable[PriceFile], on: str
) -> tuple[dict[tuple[str, str], Json], list[Disagreement]]:
    """Lines of the catalog by (provider, names joined by a space), and the disagreements left on the ISO day ``on``."""
    by_name: dict[tuple[str, str], tuple[Draft, Json]] = {}
    disagreements: list[Disagreement] = []
    for key in sorted(first.keys() | second.keys()):
        drafts = [draft for draft in (first.get(key) or _undated(first, key), second.get(key)) if draft is not None]
        if key[0] in SECOND_FIRST and not drafts[0].has_history:
            drafts.reverse()
        value, differ = _merge_one(drafts, on)
        disagreements += differ
        by_name[key] = drafts[0], value
    for file in hand:
        _apply(by_name, file)
    disagreements = [d for d in disagreements if _undecided(by_name[d.provider, d.model.lower()][1], d.meter)]
    return _group(by_name), disagreements


def _undated(drafts: Drafts, key: tuple[str, str]) -> Draft | None:
    """What a source says of a model, for the name of one of its dated snapshots."""
    provider, name = key
    found = DATE_SUFFIX.search(name)
    model = drafts.get((provider, name[: found.start()])) if found else None
    return replace(model, name=name) if model else None


def _undecided(value: Json, meter: str) -> bool:
    return any(meter in offer.get("disputed", ()) for offer in value["offers"])


def _merge_one(drafts: list[Draft], on: str) -> tuple[Json, list[Disagreement]]:
    main, *rest = drafts
    value: Json = {"type": next((d.model_type for d in drafts if d.model_type != "text"), "text"), "offers": []}
    offers = [(_json(offer, main.source), offer) for offer in main.offers]
    differ: list[Disagreement] = []
    for other in rest:
        newest = main.offer("standard", on)
        newest_json = next((raw for raw, offer in offers if offer is newest), None)
        differ = _fill(main, newest, newest_json, other, on)
        for raw, offer in offers:
            if offer.tier != "standard" and offer is main.offer(offer.tier, on):
                differ += _compared(main, offer, raw, other.offer(offer.tier, on), other)
        offers = [*_other_tiers(main, other, offers, on), *offers]  # of those in force the last counts
    value["offers"] = [raw for raw, _ in offers if raw["rates"]]
    _from_the_first_day(value["offers"])
    limits = [max((draft.limits[side] for draft in drafts), default=0) for side in (0, 1)]
    if len({draft.source for draft in drafts}) > 1:
        value["both"] = 1
    if pages := {draft.source: draft.page for draft in drafts if draft.page}:
        value["pages"] = pages
    if any(limits):
        value["limits"] = limits
    return value, differ


def _fill(main: Draft, newest: WrittenOffer | None, raw: Json | None, other: Draft, on: str) -> list[Disagreement]:
    """Give the newest standard offer the meters that only the other source has; note where they differ."""
    theirs = other.offer("standard", on)
    differ: list[Disagreement] = []
    if newest is None or raw is None or theirs is None:
        return differ
    for meter, rate in theirs.rates.items():
        ours = newest.rates.get(meter)
        if ours is None and not (meter in ("input", "output") and "page" in newest.rates):
            raw["rates"][meter] = rate
            raw.setdefault("origins", {})[meter] = other.source
    return differ + _compared(main, newest, raw, theirs, other)


def _compared(
    main: Draft, mine: WrittenOffer, raw: Json, theirs: WrittenOffer | None, other: Draft
) -> list[Disagreement]:
    """Mark the prices of an offer that the other source has otherwise."""
    differ: list[Disagreement] = []
    for meter in COMPARED:
        ours, rate = mine.rates.get(meter), theirs.rates.get(meter) if theirs else None
        if ours is not None and rate is not None and _differ(meter, ours, rate):
            raw.setdefault("disputed", {})[meter] = f"{other.source} {rate}"
            differ.append(Disagreement(main.provider, main.name, meter, ours, rate))
    return differ


def _differ(meter: str, one: str, two: str) -> bool:
    """Whether two prices are more than 1 % apart, for a short prompt or for a long one."""
    for length in (0, 1_000_000):
        a, b = parse_rate(meter, one).at(length), parse_rate(meter, two).at(length)
        left, right = a.pico * b.per, b.pico * a.per
        if abs(left - right) * 100 > max(left, right):
            return True
    return False


def _other_tiers(
    main: Draft, other: Draft, offers: list[tuple[Json, WrittenOffer]], on: str
) -> list[tuple[Json, WrittenOffer]]:
    """Tiers of the other source: before the first dated one of the main source, and the meters it does not list.

    The other source has current prices only, so its tiers hold from the last change of the standard price on.
    """
    since = max((o.since for o in main.offers if o.tier == "standard" and o.since <= on), default="")
    extra: list[tuple[Json, WrittenOffer]] = []
    for offer in other.offers:
        if offer.tier == "standard":
            continue
        mine = [(raw, o) for raw, o in offers if o.tier == offer.tier]
        for raw, own in mine:
            for meter in offer.rates.keys() - own.rates.keys():
                raw["rates"][meter] = offer.rates[meter]
                raw.setdefault("origins", {})[meter] = other.source
        if mine and mine[0][1].since > since and _same_base(mine[0][1].rates, offer.rates):
            _backdate(mine[0][0], since)  # the two agree: its date is the day of a check, not of a change
        elif not mine or mine[0][1].since > since:
            dated = WrittenOffer(offer.rates, tier=offer.tier, since=since)
            extra.append((_json(dated, other.source), dated))
    return extra


def _same_base(one: Rates, two: Rates) -> bool:
    """Whether two offers have the same prices for short contexts, where both have one."""
    common = one.keys() & two.keys()
    return bool(common) and all(str(parse_rate(m, one[m])) == str(parse_rate(m, two[m])) for m in common)


def _backdate(raw: Json, since: str) -> None:
    raw.pop("since", None)
    if since:
        raw["since"] = since


def _from_the_first_day(offers: list[Json]) -> None:
    """Let the first offer of a tier begin where the standard price it was listed beside began.

    The sources date a tier by the day they began to list it; the providers had it from the start of that price.
    """
    for tier in LISTED_LATE:
        first = min((o for o in offers if o.get("tier") == tier), key=lambda o: o.get("since", ""), default=None)
        if first is not None and "since" in first:
            beside = [
                o.get("since", "") for o in offers
                if "tier" not in o and "hours" not in o and o.get("since", "") <= first["since"]
            ]  # fmt: skip
            _backdate(first, max(beside, default=first["since"]))


def _json(offer: WrittenOffer, source: str) -> Json:
    raw: Json = {"rates": dict(offer.rates), "from": source}
    if offer.tier != "standard":
        raw["tier"] = offer.tier
    if offer.currency != "USD":
        raw["currency"] = offer.currency
    for key in ("since", "hours", "days"):
        if getattr(offer, key):
            raw[key] = getattr(offer, key)
    return raw


def _apply(by_name: dict[tuple[str, str], tuple[Draft, Json]], file: PriceFile) -> None:
    """Lay the prices of one hand-kept file over the catalogs."""
    for price in file.prices:
        for name in (price.model, *price.names):
            key = (price.provider, name.lower())
            draft = Draft(price.provider, name, price.model_type, group=f"hand:{price.model}")
            known = by_name.get(key)
            value: Json = {"type": price.model_type, "offers": []}
            if known is not None and not price.replaces:
                draft, value = known[0], known[1] | {"type": price.model_type or known[1]["type"]}
            value["offers"] = _laid_over(value["offers"], price.offers, price.source)
            if name != DEFAULTS and all(m.startswith(EXTRAS) for offer in value["offers"] for m in offer["rates"]):
                raise ValueError(
                    f"{file.name}: {price.provider}/{name} has no price but for caches and tools; is the name right?"
                )
            value["type"] = value["type"] or "text"
            by_name[key] = draft, value
    for one in file.aliases:
        provider, alias, target = one.provider, one.alias, one.model
        known = by_name.get((provider, target.lower()))
        if known is None:
            raise ValueError(f"{file.name}: alias {alias} is for {provider}/{target}, which has no price")
        by_name[provider, alias.lower()] = Draft(provider, alias, "", group=known[0].group or target.lower()), known[1]


def _laid_over(offers: list[Json], ours: Iterable[WrittenOffer], source: str) -> list[Json]:
    """``offers`` with ours: same tier and start are joined, others are put in their place by date."""
    result = [json.loads(json.dumps(offer)) for offer in sorted(offers, key=_place)]
    for offer in ours:
        same = [
            o for o in result
            if (o.get("tier", "standard"), o.get("since", ""), o.get("hours", "")) == (offer.tier, offer.since, offer.hours)
        ]  # fmt: skip
        target = (
            same[-1]
            if same
            else _json(WrittenOffer({}, offer.tier, offer.since, offer.hours, offer.days, offer.currency), source)
        )
        if not same:
            before = _inherited(result, offer)
            target["rates"] = before
            result.insert(sum(_place(o) <= _place(target) for o in result), target)
        for meter, rate in offer.rates.items():
            base = meter.partition(" ")[0]
            if base == meter and base in GENERIC:  # one price for all variants ends the variants of other sources
                for old in [m for m in target["rates"] if m.partition(" ")[0] == base]:
                    del target["rates"][old]
            target["rates"][meter] = rate
            if other := target.get("disputed", {}).pop(meter, None):
                target.setdefault("decided", {})[meter] = other
            if source.endswith(NOT_READ):
                target.setdefault("disputed", {})[meter] = "not read on the provider's page"
            if target.get("from") != source:
                target.setdefault("origins", {})[meter] = source
        if not target.get("disputed", True):
            del target["disputed"]
    return result


def _place(offer: Json) -> tuple[str, bool]:
    """Of the offers in force the last one counts: by date, those of some hours behind those of all."""
    return offer.get("since", ""), "hours" in offer


def _inherited(offers: list[Json], offer: WrittenOffer) -> Rates:
    """What a new dated offer takes over from the one it follows: prices of things it does not list itself."""
    earlier = [o for o in offers if o.get("tier", "standard") == offer.tier and o.get("since", "") < offer.since]
    kept: Rates = dict(earlier[-1]["rates"]) if earlier else {}
    return {meter: rate for meter, rate in kept.items() if meter.startswith("tool.")}


def _group(by_name: dict[tuple[str, str], tuple[Draft, Json]]) -> dict[tuple[str, str], Json]:
    """Names of one model with the same offers share a line; the shortest name stands first."""
    groups: dict[tuple[str, str, str], list[tuple[Draft, Json]]] = {}
    for (provider, name), (draft, value) in by_name.items():
        if value["offers"]:
            text = json.dumps(value, sort_keys=True)
            groups.setdefault((provider, draft.group or name, text), []).append((draft, value))
    lines: dict[tuple[str, str], Json] = {}
    for (provider, _, _), members in groups.items():
        names = sorted({draft.name for draft, _ in members}, key=lambda name: (len(name), name))
        lines[provider, " ".join(names)] = members[0][1]
    return lines
