"""The factory of the ``otlp`` receiver."""

from __future__ import annotations

from typing import NoReturn

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.service.otlp_receiver.config import OtlpReceiverConfig


def factory() -> Factory[OtlpReceiverConfig, object]:
    """Make the factory."""
    return Factory("otlp", Stability.DEVELOPMENT, OtlpReceiverConfig, _create)


def _create(id_: ComponentID, config: OtlpReceiverConfig) -> NoReturn:
    raise ConfigError(
        f'receiver "{id_}" is started by the stand-alone collector only; an application is its own source'
    )
