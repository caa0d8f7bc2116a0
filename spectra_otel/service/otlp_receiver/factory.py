"""The factory of the ``otlp`` receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.service.otlp_receiver.config import OtlpReceiverConfig

if TYPE_CHECKING:
    from spectra_otel.service.delivery import Receiver


def factory() -> Factory[OtlpReceiverConfig, Receiver]:
    """Make the factory."""
    return Factory("otlp", Stability.BETA, OtlpReceiverConfig, _create)


def _create(id_: ComponentID, config: OtlpReceiverConfig) -> Receiver:
    from spectra_otel.service.otlp_receiver.receiver import OtlpReceiver

    return OtlpReceiver(id_, config)
