"""The catalog for other tools: OTTL for a collector's `transform` processor, genai-prices, LiteLLM, plain JSON.

Each form holds what the tool can say: prices of tokens, of the standard tier, in force now. What it cannot say (steps by context,
hours, other units) is left out, and the callers are told which models were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spectra_otel.pricing.calculate import Pricer
from spectra_otel.pricing.catalog import DEFAULTS, Entry
from spectra_otel.pricing.units import MILLION, PICO, TOKEN_METERS, Rate

FORMATS = ("ottl", "genai-prices", "litellm", "json")

_GENAI = {
    "input": "input_mtok", "output": "output_mtok", "cache_read": "cache_read_mtok", "cache_write": "cache_write_mtok",
    "audio_input": "input_audio_mtok", "audio_output": "output_audio_mtok", "audio_cache_read": "cache_audio_read_mtok",
}  # fmt: skip
_LITELLM = {
    "input": "input_cost_per_token", "output": "output_cost_per_token", "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost", "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "audio_input": "input_cost_per_audio_token", "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token", "image_output": "output_cost_per_image_token",
    "reasoning": "output_cost_per_reasoning_token",
}  # fmt: skip
_LITELLM_TIERS = {"batch": "_batches", "flex": "_flex", "priority": "_priority"}
_MODES = {
    "text": "chat", "embedding": "embedding", "image": "image_generation", "video": "video_generation", "tts": "audio_speech",
    "stt": "audio_transcription", "rerank": "rerank", "ocr": "ocr", "moderation": "moderation",
}  # fmt: skip


@dataclass
class Exported:
    """The text of an export, and models that it had to leave out with the reason."""

    text: str
    left_out: list[str] = field(default_factory=list)


class UnknownModelError(ValueError):
    """A model was asked for that has no price. The message is one line with names that are near."""


def export(prices: Pricer, form: str, models: Iterable[str] = (), *, at: datetime | None = None) -> Exported:
    """The prices of ``models`` (``provider/name``; none: all) as ``form`` has them, in force at ``at``.

    Raises ``ValueError`` for an unknown form, for OTTL without models, and :class:`UnknownModelError`.
    """
    moment = at or datetime.now(UTC)
    chosen = list(_chosen(prices, list(models)))
    if form == "ottl":
        if not models:
            raise ValueError("ottl is for short lists: name the models, as openai/gpt-4o")
        return _ottl(prices, chosen, moment)
    if form == "genai-prices":
        return _genai(prices, chosen, moment)
    if form == "litellm":
        return _litellm(prices, chosen, moment)
    if form == "json":
        return _json(prices, chosen, moment)
    raise ValueError(f"{form!r} is no form of export (valid: {', '.join(FORMATS)})")


def _chosen(prices: Pricer, models: list[str]) -> Iterator[tuple[str, Entry]]:
    """(name as asked for, entry) of each model."""
    if not models:
        yield from ((entry.model, entry) for entry in _all(prices))
    for wanted in models:
        provider, _, name = wanted.partition("/")
        found = prices.matcher.match(provider, name) if name else None
        if found is None:
            near = (
                ", ".join(f"{provider}/{n}" for n in prices.matcher.suggest(provider, name or provider)) if name else ""
            )
            raise UnknownModelError(
                f"{wanted!r} has no price; write provider/model" + (f"; near: {near}" if near else "")
            )
        entry = found.entry
        key = provider, name.lower()
        if key in prices.matcher.overrides.entries and prices.catalog.find(*key) is None:
            entry = replace(entry, model=name)  # one of several that have a price in common
        yield name, next((one for one in _by_prices(prices, entry) if one.offers == entry.offers), entry)


def _all(prices: Pricer) -> Iterator[Entry]:
    """The catalog's entries with the user's own prices, and the user's models that are not in it."""
    own = {key for key in prices.matcher.overrides.entries if key[1] != DEFAULTS}
    for entry in prices.catalog.entries():
        keys = {(entry.provider, name.lower()) for name in (entry.model, *entry.names)}
        if entry.model != DEFAULTS:
            yield from _by_prices(prices, entry) if keys & own else (entry,)
            own -= keys
    for provider, name in sorted(own):
        found = prices.matcher.find(provider, name)
        if found is not None:
            yield found if found.model.lower() == name else replace(found, model=name)


def _by_prices(prices: Pricer, entry: Entry) -> Iterator[Entry]:
    """An entry for each price that its names have: the user's own are of one name."""
    alike: list[tuple[Entry, list[str]]] = []
    for name in (entry.model, *entry.names):
        found = prices.matcher.find(entry.provider, name.lower()) or entry
        names = next((names for one, names in alike if one.offers == found.offers), None)
        if names is None:
            alike.append((found, [name]))
        else:
            names.append(name)
    for found, names in alike:
        yield replace(found, model=names[0], names=tuple(names[1:]))


def _tokens(prices: Pricer, entry: Entry, at: datetime, tier: str = "standard") -> dict[str, Rate] | None:
    """The entry's own rates of tokens; ``None`` if it has none then."""
    offer = entry.offer(tier, at)
    if offer is None or offer.currency != "USD":
        return None
    rates = {meter: rate for meter, rate in offer.parsed().items() if meter in TOKEN_METERS}
    return rates or None


def _why_not(entry: Entry, rates: Mapping[str, Rate] | None) -> str:
    """Why a form of flat prices cannot have it; empty if it can."""
    if rates is None or "input" not in rates:
        return "is not sold by token"
    if _is_marginal(rates):
        return "has prices for what is behind so many tokens"
    if any(rate.steps for rate in rates.values()):
        return "has prices by length of context"
    if any(offer.hours or offer.days for offer in entry.offers):
        return "has prices by time of day"
    return ""


def _is_marginal(rates: Mapping[str, Rate]) -> bool:
    return any(rate.marginal for rate in rates.values())


def _per_token(rate: Rate) -> Decimal:
    return Decimal(rate.pico) / (PICO * rate.per)


# --- OTTL ---

_HEAD = """\
# Made by `spectra prices export --format ottl` from catalog {version}. Prices are USD per token, of the standard tier.
# Needs the transform processor of an OpenTelemetry Collector 0.120 or later. Models that are not listed stay without a cost.
processors:
  transform/spectra_cost:
    error_mode: ignore
    trace_statements:
    - conditions:
      - span.attributes["gen_ai.usage.input_tokens"] != nil and span.attributes["gen_ai.usage.cost.amount"] == nil
      - span.attributes["gen_ai.usage.output_tokens"] != nil and span.attributes["gen_ai.usage.cost.amount"] == nil
      statements:
"""
_AMOUNTS = (
    ("in", "gen_ai.usage.input_tokens"), ("cr", "gen_ai.usage.cache_read.input_tokens"),
    ("cw", "gen_ai.usage.cache_creation.input_tokens"), ("out", "gen_ai.usage.output_tokens"),
)  # fmt: skip


def _ottl(prices: Pricer, chosen: Iterable[tuple[str, Entry]], at: datetime) -> Exported:
    left_out: list[str] = []
    of_names: dict[str, str] = {}
    for name, entry in chosen:
        rates = _tokens(prices, entry, at)
        why = _why_not(entry, rates) or ("has a price for each request" if _is_sold_by_request(entry) else "")
        tariff = "" if why or rates is None else _tariff(rates)
        names = [one for one in (name, entry.model, *entry.names) if '"' not in one and "\\" not in one]
        if not why and name not in names:
            why = "has a name that no string of OTTL holds"
        elif not why and any(of_names.get(one, tariff) != tariff for one in names):
            why = "has the name of a model of another provider, at another price"
        if why:
            left_out.append(f"{entry.provider}/{name} {why}")
        else:
            of_names |= dict.fromkeys(names, tariff)
    tariffs: dict[str, list[str]] = {}
    for name, tariff in of_names.items():
        tariffs.setdefault(tariff, []).append(name)
    lines = "".join(f"      - {line}\n" for line in _statements(tariffs))
    return Exported(_HEAD.format(version=prices.catalog.version) + lines, left_out)


def _is_sold_by_request(entry: Entry) -> bool:
    return any("request" in offer.rates for offer in entry.offers)


def _tariff(rates: Mapping[str, Rate]) -> str:
    """A map literal; a price that is not listed apart is that of plain input."""
    plain = rates["input"]
    values = (
        plain,
        rates.get("cache_read", plain),
        rates.get("cache_write", plain),
        rates.get("output", Rate(0, MILLION)),
    )
    return (
        "{"
        + ", ".join(f'"{key}": {_float(_per_token(rate))}' for (key, _), rate in zip(_AMOUNTS, values, strict=True))
        + "}"
    )


def _float(value: Decimal) -> str:
    """A number as OTTL reads it: with a dot, whatever its exponent."""
    digits, exponent = f"{value:e}".split("e") if value else ("0", "+0")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    digits = digits if "." in digits else f"{digits}.0"
    return (
        digits if int(exponent) == 0 else f"{digits}e{'-' if exponent.startswith('-') else '+'}{abs(int(exponent)):02}"
    )


def _statements(tariffs: Mapping[str, list[str]]) -> Iterator[str]:
    cache, attributes = "span.cache", "span.attributes"
    yield f'set({cache}["model"], "")'
    for name in ("gen_ai.request.model", "gen_ai.response.model"):
        yield f'set({cache}["model"], {attributes}["{name}"]) where {attributes}["{name}"] != nil'
    yield f'set({cache}["rate"], {{}})'
    for key, name in _AMOUNTS:
        yield f'set({cache}["{key}"], 0.0)'
        yield f'set({cache}["{key}"], Double({attributes}["{name}"])) where {attributes}["{name}"] != nil'
    for tariff, names in tariffs.items():
        where = f'{cache}["model"] == "{names[0]}"' if len(names) == 1 else _contains(names)
        statement = f'set({cache}["rate"], {tariff}) where {where}'.replace("$", "$$")
        yield "'" + statement.replace("'", "''") + "'"  # quoted: YAML would take `": "` for a mapping
    known = f'where {cache}["rate"]["in"] != nil'
    parts = [f'({cache}["in"] - {cache}["cr"] - {cache}["cw"]) * {cache}["rate"]["in"]']
    parts += [f'{cache}["{key}"] * {cache}["rate"]["{key}"]' for key in ("cr", "cw", "out")]
    yield f'set({attributes}["gen_ai.usage.cost.amount"], {" + ".join(parts)}) {known}'
    yield f'set({attributes}["gen_ai.usage.cost.currency"], "USD") {known}'
    yield f'set({attributes}["gen_ai.usage.cost.source"], "local") {known}'


def _contains(names: Iterable[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f'ContainsValue([{listed}], span.cache["model"])'


# --- genai-prices, LiteLLM, JSON ---


def _genai(prices: Pricer, chosen: Iterable[tuple[str, Entry]], at: datetime) -> Exported:
    """The list of providers of genai-prices' `data.json`."""
    left_out: list[str] = []
    providers: dict[str, list[dict[str, Any]]] = {}
    for name, entry in chosen:
        rates = _tokens(prices, entry, at)
        by_the_day = any(offer.hours or offer.days for offer in entry.offers)
        if rates is None or "input" not in rates or by_the_day or _is_marginal(rates):
            left_out.append(f"{entry.provider}/{name} {_why_not(entry, rates)}")
            continue
        clauses = [{"equals": n} for n in dict.fromkeys((name, entry.model, *entry.names))]
        match = clauses[0] if len(clauses) == 1 else {"or": clauses}
        listed = {key: _genai_price(rates[meter]) for meter, key in _GENAI.items() if meter in rates}
        providers.setdefault(entry.provider, []).append({"id": name, "match": match, "prices": listed})
    document = [
        {"id": provider, "name": provider, "api_pattern": f"^{provider}$", "models": models}
        for provider, models in providers.items()
    ]
    return Exported(_dumped(document), left_out)


def _genai_price(rate: Rate) -> Any:
    base = _number(_per_token(rate) * MILLION)
    if not rate.steps:
        return base
    return {
        "base": base,
        "tiers": [{"start": start, "price": _number(_per_token(step) * MILLION)} for start, step in rate.steps],
    }


def _litellm(prices: Pricer, chosen: Iterable[tuple[str, Entry]], at: datetime) -> Exported:
    """LiteLLM's table: one row for each model, tiers and steps as keys of their own."""
    left_out: list[str] = []
    table: dict[str, dict[str, Any]] = {}
    for name, entry in chosen:
        row: dict[str, Any] = {"litellm_provider": entry.provider, "mode": _MODES.get(entry.model_type, "chat")}
        by_tier = {tier: _tokens(prices, entry, at, tier) or {} for tier in ("standard", *_LITELLM_TIERS)}
        if any(map(_is_marginal, by_tier.values())):
            left_out.append(f"{entry.provider}/{name} {_why_not(entry, by_tier['standard'])}")
            continue
        for tier, rates in by_tier.items():
            suffix = _LITELLM_TIERS.get(tier, "")
            for meter, rate in rates.items():
                if meter in _LITELLM:
                    row[_LITELLM[meter] + suffix] = _number(_per_token(rate))
                    for start, step in rate.steps:
                        row[f"{_LITELLM[meter]}_above_{start // 1000}k_tokens{suffix}"] = _number(_per_token(step))
        if len(row) == 2:
            left_out.append(f"{entry.provider}/{name} is not sold by token")
            continue
        for key, limit in zip(("max_input_tokens", "max_output_tokens"), entry.limits, strict=True):
            if limit:
                row[key] = limit
        table[f"{entry.provider}/{name}"] = row
    return Exported(_dumped(table), left_out)


def _json(prices: Pricer, chosen: Iterable[tuple[str, Entry]], at: datetime) -> Exported:
    """Everything in force: rates as the catalog writes them, with where each was read."""
    rows = []
    for name, entry in chosen:
        for tier in entry.tiers:
            offer = entry.offer(tier, at)
            if offer is not None:
                rows.append(
                    {
                        "provider": entry.provider, "model": name, "names": [entry.model, *entry.names],
                        "model_type": entry.model_type, "tier": tier, "currency": offer.currency,
                        "since": offer.since.isoformat() if offer.since else None, "rates": dict(offer.rates),
                        "source": offer.source, "origins": dict(offer.origins), "disputed": dict(offer.disputed),
                    }
                )  # fmt: skip
    return Exported(_dumped({"version": prices.catalog.version, "prices": rows}))


def _number(value: Decimal) -> float | int:
    """The nearest number of JSON; only other tools read it."""
    return int(value) if value == int(value) else float(value)


def _dumped(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
