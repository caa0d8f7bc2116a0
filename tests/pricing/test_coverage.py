"""Each provider has every model type it sells priced, in every tier it sells it in."""

from __future__ import annotations

from spectra_otel.pricing.compile.coverage import cells, rows


def test_everything_that_is_sold_has_a_price() -> None:
    """By a model that is current, with the place where its price was read."""
    listed = list(cells())
    assert not [cell for cell in listed if cell.state == "missing"]
    assert all(cell.source for cell in listed if cell.state in ("priced", "not sold"))
    assert len({cell.provider for cell in listed}) >= 18


def test_the_table_has_every_provider() -> None:
    """With its models, or what it does not sell."""
    assert {row[0] for row in rows()} == {cell.provider for cell in cells()}
