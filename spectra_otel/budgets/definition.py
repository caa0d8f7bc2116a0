"""What a budget is: its limits, its period, whom it is for and what happens when it is used up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import tzinfo
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from spectra_otel.budgets.amounts import Limit, parse_money, units
from spectra_otel.budgets.windows import WEEKDAYS, Window, read_period, read_zone, window_at
from spectra_otel.errors import ConfigError
from spectra_otel.model.attributes import SEMCONV
from spectra_otel.model.fields import FIELDS

MODES = ("hard", "soft")
ON_UNPRICED = ("block", "mark", "bound")
ON_EXCEEDED = ("block", "fit")
ON_UNAVAILABLE = ("", "allow", "block")
_WORDS = {
    "by": "record fields and span attributes", "match": "record fields and span attributes",
    "models": "names and patterns", "providers": "names and patterns",
}  # fmt: skip
DEFAULT_THRESHOLDS = (0.8, 0.95)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z")
_CALLBACK = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")
_FIELD_OF_ATTRIBUTE = {attribute: name for name, attribute in SEMCONV.items()} | {
    "spectra.trackable.type": "trackable_type",
    "spectra.trackable.id": "trackable_id",
    "enduser.id": "user_id",
    "session.id": "conversation_id",
    "service.name": "service_name",
    "deployment.environment.name": "environment",
}


@dataclass
class LimitConfig:
    """What a window may hold; at least one of the three."""

    cost: str | None = None
    """Money, such as ``5.00 USD``."""
    tokens: int | None = None
    """``total_tokens``: input and output."""
    requests: int | None = None
    """Calls that were let through."""


@dataclass
class Budget:
    """One budget, as a configuration file, the command line and Python write it."""

    name: str = ""
    limit: LimitConfig = field(default_factory=LimitConfig)
    period: str = "monthly"
    """hourly, daily, weekly, monthly, total, or seconds (``90s``, ``15m``)."""
    timezone: str = "UTC"
    """Where days begin."""
    week_start: str = "monday"
    by: list[str] = field(default_factory=list)
    """Record fields or span attributes; each combination of their values has the whole limit."""
    match: dict[str, str] = field(default_factory=dict)
    """Record field or attribute → value a call must have for the budget to apply; ``*`` stands for anything."""
    mode: str = "hard"
    """``hard`` stops calls, ``soft`` marks them."""
    thresholds: list[float] = field(default_factory=lambda: list(DEFAULT_THRESHOLDS))
    """Parts of the limit that say so, once, when what is settled reaches them."""
    models: list[str] = field(default_factory=list)
    """The only models that may be called, ``*`` stands for anything; empty: all."""
    providers: list[str] = field(default_factory=list)
    on_unpriced: str = "block"
    """A call without a known price: ``block``, ``mark`` (counts no cost, and says so), ``bound`` (at the highest known rate), or
    a callback ``module:function``."""
    on_exceeded: str = "block"
    """``block``, ``fit`` (lower the output limit to what fits), ``switch:<model>``, or a callback ``module:function``."""
    on_unavailable: str = ""
    """Where the ledger cannot be used: ``allow`` or ``block``; unset: ``block`` for hard, ``allow`` for soft."""
    enabled: bool = True

    def validate(self) -> None:
        """Raise :class:`ConfigError` with one line that names the budget, the setting, the value and what is valid."""
        try:
            self._check()
        except ConfigError as error:
            raise ConfigError(f"budget '{self.name}': {error}") from None

    def _check(self) -> None:
        if not _NAME.match(self.name or ""):
            raise ConfigError(f"name: got {self.name!r}, valid: letters, digits, and _ . : - after the first")
        if self.limit.cost is None and self.limit.tokens is None and self.limit.requests is None:
            raise ConfigError("limit: nothing given, valid: at least one of cost, tokens, requests")
        if self.limit.cost is not None:
            parse_money("limit.cost", self.limit.cost)
        for name in ("tokens", "requests"):
            value = getattr(self.limit, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"limit.{name}: got {value!r}, valid: a whole number of 1 or more")
        read_period(self.period)
        read_zone(self.timezone)
        _check_choice("week_start", self.week_start, WEEKDAYS)
        _check_choice("mode", self.mode, MODES)
        _check_choice("on_unavailable", self.on_unavailable, ON_UNAVAILABLE)
        if not (self.on_unpriced in ON_UNPRICED or _CALLBACK.match(self.on_unpriced)):
            _check_choice("on_unpriced", self.on_unpriced, (*ON_UNPRICED, "module:function"))
        switches = self.on_exceeded.startswith("switch:") and len(self.on_exceeded) > len("switch:")
        if not (switches or self.on_exceeded in ON_EXCEEDED or _CALLBACK.match(self.on_exceeded)):
            _check_choice("on_exceeded", self.on_exceeded, (*ON_EXCEEDED, "switch:<model>", "module:function"))
        self._check_lists()

    def _check_lists(self) -> None:
        for setting, what in _WORDS.items():
            for word in getattr(self, setting):
                if not isinstance(word, str) or not word.strip():
                    raise ConfigError(f"{setting}: got {word!r}, valid: {what}")
        for threshold in self.thresholds:
            if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 < threshold <= 1:
                raise ConfigError(f"thresholds: got {threshold!r}, valid: parts above 0 and up to 1, such as 0.8")

    @cached_property
    def amounts(self) -> Limit:
        """The limit in the ledger's units."""
        money = self.limit.cost
        cost = None if money is None else units(parse_money("limit.cost", money))
        return Limit(cost, self.limit.tokens, self.limit.requests)

    @cached_property
    def spelled_period(self) -> str:
        """The period in its one spelling, which is part of the key."""
        return read_period(self.period)

    @cached_property
    def _zone(self) -> tzinfo:
        return read_zone(self.timezone)

    @property
    def is_hard(self) -> bool:
        """Whether it stops calls."""
        return self.mode == "hard"

    @property
    def blocks_when_unavailable(self) -> bool:
        """Whether calls stop while nobody can count."""
        return (self.on_unavailable or ("block" if self.is_hard else "allow")) == "block"

    def window(self, moment: float) -> Window:
        """The window that a moment (seconds since the epoch) is in."""
        return window_at(moment, self.spelled_period, self._zone, self.week_start)

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether a call with these record fields is one that the budget counts."""
        return all(fnmatchcase(value_of(key, values) or "", pattern) for key, pattern in self.match.items())

    def allows(self, provider: str | None, model: str | None) -> bool:
        """Whether the budget's calls may go to that provider and model."""
        if self.providers and not _any_match(provider, self.providers):
            return False
        return not self.models or _any_match(model, self.models)

    def scope(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Attribute → value of the bucket a call belongs to; a value that is not known is empty."""
        return {key: value_of(key, values) or "" for key in self.by}

    def to_json(self) -> str:
        """The definition as the ledger keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Budget:
        """A definition as the ledger keeps it; settings that a newer version knows are left out."""
        data = json.loads(text)
        known = {item.name for item in fields(cls)}
        limit = LimitConfig(**data.pop("limit"))
        return cls(limit=limit, **{name: value for name, value in data.items() if name in known})


@dataclass
class Webhook:
    """Where events are posted as JSON. With a ``secret`` each request is signed."""

    url: str = ""
    secret: str = field(default="", repr=False)

    def validate(self) -> None:
        """Raise :class:`ConfigError` for an address that is none."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"webhooks: got url {self.url!r}, valid: an address that begins with https:// or http://")


def bucket_of(scope: Mapping[str, str]) -> str:
    """The bucket's name: the value where there is one attribute, ``a=1,b=2`` where there are several, commas in them escaped."""
    values = list(scope.values())
    if len(values) <= 1:
        return values[0] if values else ""
    return ",".join(f"{key}={_escaped(value)}" for key, value in scope.items()) if any(values) else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,")


def value_of(key: str, values: Mapping[str, Any]) -> str | None:
    """What a call has for a record field or its attribute; ``metadata.KEY`` is an entry of its metadata."""
    name = _FIELD_OF_ATTRIBUTE.get(key, key).removeprefix("spectra.")
    value = values.get(name)
    if value is None and name not in FIELDS:
        metadata = values.get("metadata")
        if isinstance(metadata, Mapping):
            value = metadata.get(name.removeprefix("metadata."))
    if value is None:
        value = values.get(key)
    if value is None:
        return None
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()  # no half of a surrogate


def check_names(budgets: list[Budget]) -> None:
    """Raise :class:`ConfigError` if two budgets have one name."""
    seen: set[str] = set()
    for budget in budgets:
        if budget.name in seen:
            raise ConfigError(f"budgets: two budgets are named '{budget.name}', valid: each name once")
        seen.add(budget.name)


def _any_match(value: str | None, patterns: list[str]) -> bool:
    return value is not None and any(fnmatchcase(value.lower(), pattern.lower()) for pattern in patterns)


def _check_choice(setting: str, value: object, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ConfigError(f"{setting}: got {value!r}, valid: {', '.join(word or 'unset' for word in valid)}")
