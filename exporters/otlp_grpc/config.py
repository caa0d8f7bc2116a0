"""Settings of the ``otlp_grpc`` exporter, named as the collector's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from spectra_otel.config.decode import Opaque
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.otlp_http.config import ClientTls
from spectra_otel.service.sending.config import SendingSettings

DEFAULT_TIMEOUT = Duration(5)
_ENDPOINT = re.compile(r"(?:https?://|dns:/*|unix:)?[^\s/]+(?::\d+)?/?\S*\Z")
_HEADER = re.compile(r"[0-9a-z_.-]+\Z")


@dataclass(slots=True)
class OtlpGrpcConfig(SendingSettings):
    """Settings of the ``otlp_grpc`` exporter."""

    endpoint: str = ""
    """``host:port``; a scheme ``http://`` means no TLS."""

    headers: dict[str, Opaque] = field(default_factory=dict)
    """Sent as metadata with every request, and never printed."""

    timeout: Duration = DEFAULT_TIMEOUT
    """For one export, retries included."""

    compression: Literal["gzip", "deflate", "none"] = "gzip"
    """How messages are compressed."""

    tls: ClientTls = field(default_factory=ClientTls)
    """TLS, on unless ``insecure``."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        SendingSettings.validate(self)
        if not self.endpoint:
            raise ConfigError('requires a non-empty "endpoint"')
        if not _ENDPOINT.match(self.endpoint):
            raise ConfigError(f"endpoint: got '{self.endpoint}', valid: host:port such as localhost:4317")
        for name in self.headers:
            if not _HEADER.match(name.lower()):
                raise ConfigError(f"headers: got '{name}', valid: names of letters, digits, '-', '_' and '.'")
        if self.timeout <= 0:
            raise ConfigError(f"timeout: got '{self.timeout}', valid: a duration above 0s")
        self.tls.validate()
        if self.tls.insecure and self.endpoint.startswith("https:"):
            raise ConfigError("tls::insecure: got 'true' for an https endpoint, valid: false, or an http endpoint")
