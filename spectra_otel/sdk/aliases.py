"""Cost aliases: the attribute in which a backend looks for the cost of a call, in US dollars.

An alias is written where the cost is known and in dollars; a call without a known cost has none, so that no backend shows
it as 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from spectra_otel.errors import ConfigError


def _logfire(total: float, parts: Mapping[str, float]) -> dict[str, Any]:
    return {"operation.cost": total}


def _phoenix(total: float, parts: Mapping[str, float]) -> dict[str, Any]:
    return {"llm.cost.total": total, **{f"llm.cost.{part}": value for part, value in parts.items()}}


def _langfuse(total: float, parts: Mapping[str, float]) -> dict[str, Any]:
    names = {"prompt": "input", "completion": "output"}
    details = {**{names[part]: value for part, value in parts.items()}, "total": total}
    return {"langfuse.observation.cost_details": json.dumps(details)}


def _openlit(total: float, parts: Mapping[str, float]) -> dict[str, Any]:
    return {"gen_ai.usage.cost": total}


COST_ALIASES: dict[str, Callable[[float, Mapping[str, float]], dict[str, Any]]] = {
    "logfire": _logfire,
    "phoenix": _phoenix,
    "langfuse": _langfuse,
    "openlit": _openlit,
}
"""Backend → the attributes it reads, from total and parts (``prompt``, ``completion``) in dollars."""

_REFUSED = {
    "datadog": "Datadog documents no cost attribute for OTLP spans; it prices the token counts of gen_ai.usage.* itself",
}


def validate_cost_aliases(names: Iterable[str]) -> None:
    """Raise :class:`ConfigError` for an alias that does not exist, or that we refuse, with the reason."""
    for name in names:
        if name in _REFUSED:
            raise ConfigError(f"cost_aliases: got '{name}', which is not possible: {_REFUSED[name]}")
        if name not in COST_ALIASES:
            raise ConfigError(f"cost_aliases: got '{name}', valid: {', '.join(COST_ALIASES)}")


def cost_alias_attributes(names: Iterable[str], record: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the aliases ``names`` for a record; none where its cost is not known or not in dollars."""
    total = record.get("total_cost_in_cents")
    if total is None or (record.get("currency") or "USD") != "USD":
        return {}
    parts = {
        part: _dollars(cents)
        for part in ("prompt", "completion")
        if (cents := record.get(f"{part}_cost_in_cents")) is not None
    }
    attributes: dict[str, Any] = {}
    for name in names:
        attributes.update(COST_ALIASES[name](_dollars(total), parts))
    return attributes


def _dollars(cents: Decimal) -> float:
    return float(cents / 100)
