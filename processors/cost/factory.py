"""Factory of `cost`."""

from __future__ import annotations

from spectra_otel.component import ComponentID, Factory, Processor, Stability
from spectra_otel.processors.cost.config import Config


def _create(id: ComponentID, config: Config) -> Processor:
    from spectra_otel.processors.cost.processor import CostProcessor

    return CostProcessor(config)


def factory() -> Factory[Config, Processor]:
    """The factory that the entry point names."""
    return Factory(
        type="cost",
        stability=Stability.BETA,
        default_config=Config,
        create=_create,
        enriches=True,
        claimed_only=True,
        needs="usage",
    )
