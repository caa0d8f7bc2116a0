"""The factory of `batch`."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.processors.batch.config import BatchConfig


class BatchProcessor:
    """Says how its pipeline shall batch; the pipeline does it, because a sender is answered only after its batch went out.

    Inside an application it changes nothing: spans are batched on their way to the exporters anyway.
    """

    def __init__(self, config: BatchConfig) -> None:
        self.batching = config

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The same spans."""
        return spans


def factory() -> Factory[BatchConfig, BatchProcessor]:
    """Make the factory."""
    return Factory("batch", Stability.BETA, BatchConfig, _create, claimed_only=True, every_signal=True)


def _create(id_: ComponentID, config: BatchConfig) -> BatchProcessor:
    return BatchProcessor(config)
