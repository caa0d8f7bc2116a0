"""``otlpjsonfile``: follows files of OTLP JSON, one request a line, as the collector's file exporter writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from spectra_otel.service.delivery import Receiver


@dataclass(slots=True)
class OtlpJsonFileConfig:
    """Settings of ``otlpjsonfile``, named as the collector's."""

    include: list[str] = field(default_factory=list)
    """Files, as glob patterns."""
    exclude: list[str] = field(default_factory=list)
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin in a file that is there when the collector starts for the first time."""
    poll_interval: Duration = Duration(0.2)  # noqa: RUF009  (durations are immutable)
    storage: str = ""
    """Id of a ``file_storage`` extension that keeps how far files were read; empty: a folder in ``SPECTRA_HOME``."""

    def validate(self) -> None:
        """Raise ConfigError unless there is something to read."""
        if not self.include:
            raise ConfigError("required argument `include` is empty")
        if self.poll_interval <= 0:
            raise ConfigError(f"poll_interval: got '{self.poll_interval}', valid: a duration above 0s")
        if self.storage:
            ComponentID.parse(self.storage)


def factory() -> Factory[OtlpJsonFileConfig, Receiver]:
    """Make the factory."""
    return Factory("otlpjsonfile", Stability.BETA, OtlpJsonFileConfig, _create)


def _create(id_: ComponentID, config: OtlpJsonFileConfig) -> Receiver:
    from spectra_otel.service.otlpjsonfile_receiver.receiver import OtlpJsonFileReceiver

    return OtlpJsonFileReceiver(id_, config)
