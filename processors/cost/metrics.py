"""What the prices of this process say of themselves, as metrics of the app's meter provider."""

from __future__ import annotations

from functools import cache
from typing import Any

from spectra_otel.model.record import TrackedRequest


@cache
def difference() -> Any:
    """The counter of what providers say calls cost, less what they cost by the catalog; the age of which is told from then on."""
    from opentelemetry.metrics import Observation, get_meter

    from spectra_otel.pricing.catalog import catalog_age

    meter = get_meter("spectra_otel")
    meter.create_observable_gauge(
        "spectra.price.catalog.age", [lambda _: [Observation(catalog_age())]], "d", "Age of the price catalog."
    )
    return meter.create_up_down_counter(
        "spectra.cost.difference", "cents", "What providers say that calls cost, less what they cost by the catalog."
    )


def compare(record: TrackedRequest) -> None:
    """Count what the provider says of a record beyond our own figure, once: not of its revisions."""
    theirs, ours = record.get("total_cost_in_cents"), record.get("estimated_cost_in_cents")
    if record.rev == 0 and theirs is not None and ours is not None:
        difference().add(float(theirs - ours), {"gen_ai.provider.name": record.get("provider") or ""})
