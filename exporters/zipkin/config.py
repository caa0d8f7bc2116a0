"""Settings of the ``zipkin`` exporter, named as the collector's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from spectra_otel.config.decode import Opaque
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.service.sending.config import SendingSettings


@dataclass(slots=True)
class ZipkinConfig(SendingSettings):
    """Settings of the ``zipkin`` exporter."""

    endpoint: str = ""
    """The whole URL, such as ``http://localhost:9411/api/v2/spans``."""
    format: Literal["json"] = "json"
    default_service_name: str = "<missing service name>"
    """For spans whose resource has no ``service.name``."""
    headers: dict[str, Opaque] = field(default_factory=dict)
    timeout: Duration = Duration(5)  # noqa: RUF009  (durations are immutable)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        SendingSettings.validate(self)
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"endpoint: got '{self.endpoint}', valid: a URL such as http://localhost:9411/api/v2/spans"
            )
        if self.timeout <= 0:
            raise ConfigError(f"timeout: got '{self.timeout}', valid: a duration above 0s")
