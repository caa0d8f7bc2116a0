"""Settings of `batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError


@dataclass(slots=True)
class BatchConfig:
    """Settings of the `batch` processor, named and defaulted as the collector's."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("metadata_keys", "metadata_cardinality_limit"))

    timeout: Duration = Duration(0.2)  # noqa: RUF009  (durations are immutable)
    """How long the first request of a batch waits for company, and its sender for the answer."""
    send_batch_size: int = 8192
    """Items that end the wait."""
    send_batch_max_size: int = 0
    """Items of one request at most; 0: no limit. Only traces are cut."""
    metadata_keys: list[str] = field(default_factory=list)
    """Of no effect."""

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        if self.timeout < 0:
            raise ConfigError("timeout must be greater or equal to 0")
        if self.send_batch_size < 0 or self.send_batch_max_size < 0:
            raise ConfigError("send_batch_size and send_batch_max_size must be 0 or more")
        if 0 < self.send_batch_max_size < self.send_batch_size:
            raise ConfigError("send_batch_max_size must be greater or equal to send_batch_size")
        keys = [key.lower() for key in self.metadata_keys]
        if (again := next((key for key in keys if keys.count(key) > 1), None)) is not None:
            raise ConfigError(f'duplicate entry in metadata_keys: "{again}" (case-insensitive)')
