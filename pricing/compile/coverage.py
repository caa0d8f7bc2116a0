"""Which provider sells what, and what it is priced by: the table of docs/pricing.md, from `coverage.yaml` and the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from spectra_otel.pricing.calculate import Pricer
from spectra_otel.pricing.catalog import shipped_catalog
from spectra_otel.pricing.pricefile import MODEL_TYPES

DECLARED = Path(__file__).resolve().parents[1] / "coverage.yaml"

STATES = ("priced", "missing", "not sold", "no public price", "not known")


class Cell(NamedTuple):
    """One provider, model type and tier; ``state`` is one of :data:`STATES`, ``source`` where it was read."""

    provider: str
    model_type: str
    tier: str
    state: str
    model: str = ""
    source: str = ""


def cells(at: datetime | None = None) -> Iterator[Cell]:
    """Every cell of the table, by the shipped catalog. A type that is not sold at all is one cell, of the standard tier."""
    import yaml

    moment = at or datetime.now(UTC)
    prices = Pricer(shipped_catalog())
    for provider, declared in yaml.safe_load(DECLARED.read_text(encoding="utf-8")).items():
        left_out = _left_out(declared)
        for model_type in MODEL_TYPES:
            sold: dict[str, list[str]] = declared["sells"].get(model_type, {})
            for tier in declared["tiers"] if sold else ("standard",):
                model = next((name for name, tiers in sold.items() if tier in tiers), "")
                if model:
                    source = _source(prices, provider, model, tier, moment)
                    yield Cell(provider, model_type, tier, "priced" if source else "missing", model, source)
                else:
                    state, page = left_out.get(f"{model_type} {tier}" if sold else model_type) or left_out[""]
                    yield Cell(provider, model_type, tier, state, source=page)


def _left_out(declared: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """State and page of each cell that is declared without a price, by ``type`` or ``type tier``; under "" that of all others."""
    found = {"": ("not sold", _page(declared)) if "page" in declared else ("not known", "")}
    for state in ("not sold", "no public price"):
        for item in declared.get(state.replace(" ", "_"), ()):
            found |= {cell: (state, _page(item)) for cell in item["cells"]}
    return found


def _page(item: dict[str, Any]) -> str:
    return f"{item['page']} ({item['read']})"


def _source(prices: Pricer, provider: str, model: str, tier: str, at: datetime) -> str:
    """Where the price of this tier was read; empty if it has none of its own in force."""
    found = prices.explain(provider, model, pricing_tier=tier, at=at)
    if found.match is None or found.terms is None or found.terms.tier != tier:
        return ""
    own = found.terms.offer
    source = next((own.origins.get(meter, own.source) for meter in own.rates), "")
    page = found.match.entry.where(source)
    version = next((s.get("version", "") for s in prices.catalog.sources if s["name"] == source), "")
    return f"{page} {version} ({prices.catalog.date})" if version else page


def rows() -> Iterator[tuple[str, ...]]:
    """The table's rows: provider, type, model, tiers and source; what is not sold or not known is a row for each provider."""
    listed = list(cells())
    for provider in dict.fromkeys(cell.provider for cell in listed):
        mine = [cell for cell in listed if cell.provider == provider]
        for model_type in dict.fromkeys(cell.model_type for cell in mine if cell.model):
            of_type: dict[tuple[str, str], list[str]] = {}
            for cell in mine:
                if cell.model_type == model_type and cell.model:
                    of_type.setdefault((cell.model, cell.source), []).append(cell.tier)
            for (model, source), tiers in of_type.items():
                yield provider, model_type, f"`{model}`", ", ".join(tiers), source
        sold_types = {cell.model_type for cell in mine if cell.model}
        rest: dict[tuple[str, str], dict[str, list[str]]] = {}
        for cell in mine:
            if not cell.model:
                rest.setdefault((cell.state, cell.source), {}).setdefault(cell.model_type, []).append(cell.tier)
        for (state, source), by_type in sorted(rest.items(), key=lambda item: STATES.index(item[0][0])):
            names = [f"{name} ({', '.join(tiers)})" if name in sold_types else name for name, tiers in by_type.items()]
            yield provider, ", ".join(names), "–", state, source or "no page of the provider was read"


def counts() -> dict[str, Any]:
    """How many cells are in each state."""
    found: dict[str, int] = {}
    for cell in cells():
        found[cell.state] = found.get(cell.state, 0) + 1
    return found
