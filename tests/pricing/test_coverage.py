"""Each provider has every model type it sells priced, in every tier it sells it in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from spectra_otel.pricing.catalog import shipped_catalog
from spectra_otel.pricing.compile.coverage import DECLARED, STATES, cells, counts, rows
from spectra_otel.pricing.pricefile import MODEL_TYPES

PROVIDERS: dict[str, dict[str, Any]] = yaml.safe_load(DECLARED.read_text(encoding="utf-8"))

UNREAD = {("openrouter", "image"), ("openrouter", "video"), ("vercel-gateway", "tts"), ("vercel-gateway", "rerank")}
"""Types that gateways sell and of which nobody has read a page; no other cell may be left open."""

# Both kinds of what is declared to have no price.
LEFT_OUT = ("not_sold", "no_public_price")


def test_everything_that_is_sold_has_a_price() -> None:
    """By a model that is current, with the place where its price was read."""
    listed = list(cells())
    assert not [cell for cell in listed if cell.state == "missing"]
    assert {(cell.provider, cell.model_type) for cell in listed if cell.state == "not known"} == UNREAD
    assert all(cell.source for cell in listed if cell.state != "not known")
    assert len({cell.provider for cell in listed}) >= 18


@pytest.mark.xfail(reason="it is sold, and nobody has read at what price")
@pytest.mark.parametrize(("provider", "model_type"), sorted(UNREAD))
def test_a_type_that_is_sold_is_known(provider: str, model_type: str) -> None:
    """Fails until somebody reads its page; passing is a failure then, and the type leaves the list."""
    found = [cell.state for cell in cells() if (cell.provider, cell.model_type) == (provider, model_type)]
    assert found
    assert "not known" not in found


def test_what_is_not_sold_has_no_price() -> None:
    """A price in force that the catalog has for a type and tier is not declared away."""
    catalog, now = shipped_catalog(), datetime.now(UTC)
    without = {
        (cell.provider, cell.model_type, cell.tier): cell
        for cell in cells()
        if cell.state in ("not sold", "no public price")
    }
    found = [
        (cell, entry.model)
        for provider in PROVIDERS
        for entry in catalog.entries(provider)
        for tier in entry.tiers
        if (cell := without.get((provider, entry.model_type, tier)))
        and (offer := entry.offer(tier, now))
        and offer.rates
    ]
    assert not found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_cell_is_declared_once(provider: str) -> None:
    """In words that are known, not both sold and not sold, each list by a page and the day it was read."""
    declared = PROVIDERS[provider]
    assert set(declared) <= {"tiers", "page", "read", "sells", *LEFT_OUT}
    lists = [item for name in LEFT_OUT for item in declared.get(name, ())]
    assert all(item["page"].startswith("https://") and item["read"] for item in (declared, *lists) if "page" in item)
    sold = {(kind, tier) for kind, models in declared["sells"].items() for tiers in models.values() for tier in tiers}
    left_out = [cell.split() for item in lists for cell in item["cells"]]
    assert len({tuple(cell) for cell in left_out}) == len(left_out)
    for kind, *tier in left_out:
        assert kind in MODEL_TYPES
        assert bool(tier) == (kind in declared["sells"]), (
            f"{kind}: a tier of a type that is sold, or a type that is not"
        )
        assert not tier or (tier[0] in declared["tiers"] and (kind, tier[0]) not in sold)
    assert {tier for _, tier in sold} <= set(declared["tiers"])


def test_the_table_has_every_provider() -> None:
    """With its models, or what it does not sell."""
    assert {row[0] for row in rows()} == {cell.provider for cell in cells()}
    assert set(counts()) <= set(STATES)
