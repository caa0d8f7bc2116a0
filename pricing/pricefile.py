"""Price files: the YAML that people write. The hand-kept sources of the catalog and the user's own prices are one format.

::

    provider: openai                        # for all prices below; or on each price
    page: https://…                         # where the prices were read, and when
    read: 2026-11-20
    verified: false                         # what the page says was not read on it; shown with the price
    prices:
      - model: gpt-5                        # or models: [a, b] with the same prices
        type: text                          # text, embedding, image, video, tts, stt, rerank, moderation, ocr
        since: 2026-10-12                   # 00:00 UTC, or 2026-10-12T16:00; left out: always
        tier: standard
        rates: {input: 1.25, output: 10, cache_read: 0.125}
    all_models: {tool.web_search: 10/1K}    # for every model of the provider
    aliases: {prod-chat: gpt-4o}            # a deployment → the model it is; or dated and of one account:
      # - {alias: prod-chat, model: gpt-5, since: 2026-06-01, account: org-7}
    currency: EUR                           # of all prices of the file, or on each; left out: USD
    contract: true                          # of the file, or on each: prices beside the list price, not in its place
    account: org-7                          # of the file, or on each: the provider_account it is for; left out: all of them
    multipliers:                            # what the list price is multiplied by, in contract_cost_in_cents
      - {model: "gpt-5*", factor: 0.85, since: 2026-01-01, tier: standard, account: org-7}

How a rate is written is said in :mod:`spectra_otel.pricing.units`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from spectra_otel.pricing.catalog import DEFAULTS
from spectra_otel.pricing.errors import PriceFileError
from spectra_otel.pricing.fx import is_currency
from spectra_otel.pricing.units import parse_rate, part_of
from spectra_otel.pricing.written import FilePrice, PriceFile, WrittenAlias, WrittenMultiplier, WrittenOffer

MODEL_TYPES = ("text", "embedding", "image", "video", "tts", "stt", "rerank", "moderation", "ocr")
NOT_READ = " (not verified)"
"""End of the source of a price that nobody read on the page it names; such a price is marked as disputed."""
_FILE_KEYS = (
    "provider", "page", "read", "verified", "prices", "all_models", "aliases", "note", "currency", "contract", "account",
    "multipliers",
)  # fmt: skip
_MULTIPLIER_KEYS = ("provider", "model", "factor", "since", "tier", "account", "note")
_ALIAS_KEYS = ("provider", "alias", "model", "since", "account", "note")
_PRICE_KEYS = (
    "provider",
    "model",
    "models",
    "type",
    "since",
    "tier",
    "hours",
    "days",
    "rates",
    "page",
    "read",
    "verified",
    "note",
    "replaces",
    "currency",
    "contract",
    "account",
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d\Z")
_HOUR = r"(?:[01]\d:[0-5]\d|2[0-3]:[0-5]\d|24:00)"
_HOURS = re.compile(rf"{_HOUR}-{_HOUR}\Z")


def read_price_file(path: Path) -> PriceFile:
    """Parse one file. Raises :class:`PriceFileError` with one line naming file, line, what is wrong and what is valid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise PriceFileError(f"{path}: cannot read the price file: {reason}") from error
    return _Reader(path.name).read(text)


class _Node(dict[str, Any]):
    """A YAML mapping that remembers its lines."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, line: int, what: str) -> PriceFileError:
        return PriceFileError(f"{self.name}:{line}: {what}")

    def read(self, text: str) -> PriceFile:
        document = self.load(text)
        if not isinstance(document, _Node):
            raise self.fail(1, "a price file is a mapping with `prices`, `all_models` or `aliases`")
        self.check_keys(document, _FILE_KEYS)
        prices = list(self.prices(document))
        aliases = tuple(self.aliases(document))
        self.refuse_doubles(prices)
        return PriceFile(self.name, tuple(price for _, price in prices), aliases, tuple(self.multipliers(document)))

    def load(self, text: str) -> Any:
        """The document with every scalar as the text it was written as: a price must not become a float."""
        import yaml

        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "is not YAML"
            raise self.fail(mark.line + 1 if mark else 1, f"not YAML: {problem}") from error
        try:
            return self.plain(root)
        except RecursionError as error:
            raise self.fail(1, "its anchors go in a circle") from error

    def plain(self, node: Any) -> Any:
        kind = getattr(node, "id", "scalar")
        if kind == "mapping":
            mapping = _Node(node.start_mark.line + 1)
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.id != "scalar":
                    raise self.fail(line, "a key is a word, not a list or a mapping")
                if key.value in mapping:
                    raise self.fail(line, f"{key.value!r} stands here twice; it was at line {mapping.lines[key.value]}")
                mapping[key.value] = self.plain(value)
                mapping.lines[key.value] = line
            return mapping
        if kind == "sequence":
            return [self.plain(item) for item in node.value]
        return node.value if node is not None else None

    def check_keys(self, node: _Node, valid: tuple[str, ...]) -> None:
        for key in node:
            if key not in valid:
                raise self.fail(node.lines[key], f"unknown key {key!r} (valid: {', '.join(valid)})")

    def prices(self, document: _Node) -> Iterator[tuple[int, FilePrice]]:
        items = document.get("prices") or []
        if not isinstance(items, list) or not all(isinstance(item, _Node) for item in items):
            raise self.fail(document.lines["prices"], "`prices` is a list of mappings")
        for item in items:
            yield item.line, self.price(document, item)
        if document.get("all_models"):
            line = document.lines["all_models"]
            rates = self.rates(document, "all_models")
            offer = WrittenOffer(rates, currency=self.currency(document, document))
            provider = self.provider(document, document, line)
            contract, account = self.contract(document, document, line)
            source = self.source(document, document)
            yield line, FilePrice(provider, DEFAULTS, (), "text", (offer,), source, contract=contract, account=account)

    def price(self, document: _Node, item: _Node) -> FilePrice:
        self.check_keys(item, _PRICE_KEYS)
        names = item.get("models") or ([item["model"]] if item.get("model") else [])
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(n, str) and n and " " not in n for n in names)
        ):
            raise self.fail(item.line, "a price needs `model: NAME` or `models: [NAME, …]`, names without spaces")
        model_type = item.get("type", "")
        if model_type and model_type not in MODEL_TYPES:
            raise self.fail(item.lines["type"], f"type: {model_type!r} (valid: {', '.join(MODEL_TYPES)})")
        tier = item.get("tier") or "standard"
        if not isinstance(tier, str):
            raise self.fail(item.lines["tier"], "`tier` is the name of one service tier")
        rates = self.rates(item, "rates")
        if not rates:
            raise self.fail(item.line, f"{names[0]}: no `rates`")
        offer = WrittenOffer(
            rates, tier, self.moment(item, "since"), self.hours(item), self.days(item),
            self.currency(document, item),
        )  # fmt: skip
        contract, account = self.contract(document, item, item.line)
        return FilePrice(
            self.provider(document, item, item.line), names[0], tuple(names[1:]), model_type, (offer,),
            self.source(document, item), replaces=item.get("replaces") == "true", contract=contract, account=account,
        )  # fmt: skip

    def mapping(self, node: _Node, key: str) -> dict[str, str]:
        value = node.get(key)
        if not isinstance(value, _Node) or not all(isinstance(v, str) for v in value.values()):
            of = "models" if key == "aliases" else "prices"
            raise self.fail(node.lines.get(key, node.line), f"`{key}` is a mapping of names to {of}")
        return value

    def rates(self, node: _Node, key: str) -> dict[str, str]:
        """The checked rates under ``key``, by meter."""
        rates = self.mapping(node, key)
        for meter, text in rates.items():
            try:
                part_of(meter)
                parse_rate(meter.partition(" ")[0], text)
            except ValueError as error:
                raise self.fail(node[key].lines[meter], str(error)) from error
        return dict(rates)

    def provider(self, document: _Node, item: _Node, line: int) -> str:
        provider = item.get("provider") or document.get("provider")
        if not isinstance(provider, str) or not provider:
            raise self.fail(line, "no `provider`, neither here nor at the top of the file")
        return provider

    def source(self, document: _Node, item: _Node) -> str:
        page = item.get("page") or document.get("page") or self.name
        if (item.get("verified") or document.get("verified")) == "false":
            return page + NOT_READ
        read = self.day(item, "read") or self.day(document, "read")
        return f"{page} ({read})" if read else str(page)

    def day(self, node: _Node, key: str) -> str:
        text = node.get(key) or ""
        return self.day_of(node, key, text) if text else ""

    def moment(self, node: _Node, key: str) -> str:
        """A day, or a moment of one in UTC."""
        text = node.get(key) or ""
        if isinstance(text, str) and _MOMENT.match(text):
            return self.day_of(node, key, text[:10]) + text[10:].removesuffix("T00:00")
        return self.day(node, key)

    def day_of(self, node: _Node, key: str, text: str) -> str:
        try:
            return date.fromisoformat(text).isoformat()
        except (ValueError, TypeError) as error:
            raise self.fail(node.lines[key], f"{key}: {text!r} is not a day; write it as 2026-11-20") from error

    def hours(self, item: _Node) -> str:
        text = item.get("hours") or ""
        if not isinstance(text, str) or not all(_HOURS.match(part) for part in text.split()):
            raise self.fail(item.lines["hours"], f"hours: {text!r} (write UTC hours as 00:30-16:30)")
        return text

    def days(self, item: _Node) -> str:
        days = item.get("days") or ""
        if not isinstance(days, str) or not set(days) <= set("1234567") or len(set(days)) != len(days):
            raise self.fail(item.lines["days"], f"days: {days!r} (write ISO weekdays, Monday is 1, as 12345)")
        return days

    def currency(self, document: _Node, item: _Node) -> str:
        """The currency of a price. Raises for what is not ISO 4217."""
        holder = item if "currency" in item else document
        currency = holder.get("currency", "USD")
        if not is_currency(currency):
            raise self.fail(
                holder.lines["currency"], f"currency: {currency!r} is not a currency of ISO 4217, such as EUR"
            )
        return str(currency)

    def contract(self, document: _Node, item: _Node, line: int) -> tuple[bool, str]:
        """Whether a price is one of a contract, and for which account."""
        holder = item if "contract" in item else document
        written = holder.get("contract", "false")
        if written not in ("true", "false"):
            raise self.fail(holder.lines["contract"], f"contract: {written!r} (valid: true, false)")
        return written == "true", self.account(document, item, line)

    def account(self, document: _Node, item: _Node, line: int) -> str:
        account = item.get("account") or document.get("account") or ""
        if not isinstance(account, str):
            raise self.fail(line, "account: is the name of one account at the provider")
        return account

    def multipliers(self, document: _Node) -> Iterator[WrittenMultiplier]:
        items = document.get("multipliers") or []
        if not isinstance(items, list) or not all(isinstance(item, _Node) for item in items):
            raise self.fail(document.lines["multipliers"], "`multipliers` is a list of mappings")
        seen: dict[WrittenMultiplier, int] = {}
        for item in items:
            self.check_keys(item, _MULTIPLIER_KEYS)
            factor = item.get("factor")
            if not isinstance(factor, str) or not re.fullmatch(r"\d{1,6}(\.\d{1,12})?", factor):
                raise self.fail(item.line, f"factor: {factor!r} is not a number such as 0.85")
            model, tier = item.get("model") or "*", item.get("tier") or ""
            if not isinstance(model, str) or not isinstance(tier, str):
                raise self.fail(item.line, "`model` and `tier` of a multiplier are names")
            account = self.account(document, item, item.line)
            one = WrittenMultiplier(
                self.provider(document, item, item.line), model, factor, tier, self.moment(item, "since"), account
            )
            first = seen.setdefault(replace(one, factor=""), item.line)
            if first != item.line:
                raise self.fail(
                    item.line, f"a multiplier of {one.provider}/{model} stands here twice; it was at line {first}"
                )
            yield one

    def aliases(self, document: _Node) -> Iterator[WrittenAlias]:
        items = document.get("aliases") or ()
        if isinstance(items, _Node):
            line = document.lines["aliases"]
            provider, account = self.provider(document, document, line), self.account(document, document, line)
            for alias, model in self.mapping(document, "aliases").items():
                yield WrittenAlias(provider, alias, model, "", account, f"{self.name}:{items.lines[alias]}")
            return
        if not all(isinstance(item, _Node) for item in items):
            raise self.fail(
                document.lines["aliases"], "`aliases` is a mapping of names to models, or a list of mappings"
            )
        seen: dict[tuple[str, ...], int] = {}
        for item in items:
            self.check_keys(item, _ALIAS_KEYS)
            alias, model = item.get("alias"), item.get("model")
            if not isinstance(alias, str) or not isinstance(model, str) or not alias or not model:
                raise self.fail(item.line, "an alias needs `alias: NAME` and `model: NAME`")
            provider, account = self.provider(document, item, item.line), self.account(document, item, item.line)
            since = self.moment(item, "since")
            first = seen.setdefault((provider, alias.lower(), since, account), item.line)
            if first != item.line:
                raise self.fail(item.line, f"alias {provider}/{alias} stands here twice; it was at line {first}")
            yield WrittenAlias(provider, alias, model, since, account, f"{self.name}:{item.line}")

    def refuse_doubles(self, prices: list[tuple[int, FilePrice]]) -> None:
        """Two prices of one thing at one time: which of them holds would depend on their order."""
        seen: dict[tuple[str, ...], list[tuple[int, WrittenOffer]]] = {}
        for line, price in prices:
            for name in (price.model, *price.names):
                for offer in price.offers:
                    key = (price.provider, name.lower(), offer.tier, offer.since, price.account, str(price.contract))
                    what = f"{price.provider}/{name} {offer.tier}" + (f" since {offer.since}" if offer.since else "")
                    for first, other in seen.setdefault(key, []):
                        if (offer.hours, offer.days) == (other.hours, other.days):
                            raise self.fail(line, f"{what} stands here twice; it was at line {first}")
                        if _minutes(offer) & _minutes(other):
                            raise self.fail(line, f"{what}: its hours overlap with those of line {first}")
                    seen[key].append((line, offer))


def _minutes(offer: WrittenOffer) -> set[int]:
    """The minutes of the week that an offer has for itself; none if it is one for all hours, which others interrupt."""
    if not offer.hours:
        return set()
    minutes: set[int] = set()
    for text in offer.hours.split():
        start, end = (int(time[:2]) * 60 + int(time[3:]) for time in text.split("-"))
        minutes |= set(range(start, end)) if start < end else {*range(start, 1440), *range(end)}
    return {int(day) * 1440 + minute for day in offer.days or "1234567" for minute in minutes}
