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


class Cell(NamedTuple):
    """One provider, model type and tier. ``state`` is priced, missing, not sold or not known; ``source`` where it was read."""

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
    sources = {
        source["name"]: f"{source['name']} {source.get('version', '')}".strip() for source in prices.catalog.sources
    }
    for provider, declared in yaml.safe_load(DECLARED.read_text(encoding="utf-8")).items():
        page = f"{declared['page']} ({declared['read']})" if "page" in declared else ""
        for model_type in MODEL_TYPES:
            sold: dict[str, list[str]] = declared["sells"].get(model_type, {})
            if not sold:
                yield Cell(provider, model_type, "standard", "not sold" if page else "not known", source=page)
                continue
            for tier in declared["tiers"]:
                model = next((name for name, tiers in sold.items() if tier in tiers), "")
                if not model:
                    yield Cell(provider, model_type, tier, "not sold" if page else "not known", source=page)
                    continue
                source = _source(prices, provider, model, tier, moment)
                dated = f"{sources[source]} ({prices.catalog.date})" if source in sources else source
                yield Cell(provider, model_type, tier, "priced" if source else "missing", model, dated)


def _source(prices: Pricer, provider: str, model: str, tier: str, at: datetime) -> str:
    """Where the price of this tier was read; empty if it has none of its own in force."""
    found = prices.explain(provider, model, pricing_tier=tier, at=at)
    if found.terms is None or found.terms.tier != tier:
        return ""
    own = found.terms.offer
    return next((own.origins.get(meter, own.source) for meter in own.rates), "")


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
        for state in ("not sold", "not known"):
            rest = [cell for cell in mine if cell.state == state]
            if rest:
                sold_types = {cell.model_type for cell in mine if cell.model}
                what = ", ".join(
                    f"{c.model_type} {c.tier}" if c.model_type in sold_types else c.model_type for c in rest
                )
                yield provider, what, "–", state, rest[0].source or "no page of the provider was read"


def counts() -> dict[str, Any]:
    """How many cells are in each state."""
    found: dict[str, int] = {}
    for cell in cells():
        found[cell.state] = found.get(cell.state, 0) + 1
    return found
