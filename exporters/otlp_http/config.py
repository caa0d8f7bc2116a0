"""Settings of the ``otlp_http`` exporter, named as the collector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from spectra_otel.errors import ConfigError
from spectra_otel.service.sending.client import ClientSettings

_ENDPOINTS = ("endpoint", "traces_endpoint", "metrics_endpoint", "logs_endpoint")


@dataclass(slots=True)
class OtlpHttpConfig(ClientSettings):
    """Settings of the ``otlp_http`` exporter. ``endpoint`` is the base URL, to whose path ``/v1/traces`` is added."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        (
            "compression_params", "cookies", "disable_keep_alives", "force_attempt_http2", "http2_ping_timeout",
            "http2_read_idle_timeout", "idle_conn_timeout", "max_conns_per_host", "max_idle_conns", "max_idle_conns_per_host",
            "profiles_endpoint", "read_buffer_size", "write_buffer_size",
        )
    )  # fmt: skip

    traces_endpoint: str = ""
    """The whole URL for traces; wins over ``endpoint``."""

    metrics_endpoint: str = ""
    """The whole URL for metrics, which the stand-alone collector forwards."""

    logs_endpoint: str = ""
    """The whole URL for logs."""

    compression: Literal["gzip", "zstd", "zlib", "deflate", "none", ""] = "gzip"
    """How bodies are compressed; an application sends gzip for zstd."""

    encoding: Literal["proto"] = "proto"
    """Bodies are protobuf."""

    proxy_url: str = ""
    """The proxy for every request; those of the environment are not used in ``spectra collect``."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        ClientSettings.validate(self)
        if not any(getattr(self, name) for name in _ENDPOINTS):
            raise ConfigError("at least one endpoint must be specified")
        for name in _ENDPOINTS:
            value = getattr(self, name)
            if value and not _is_url(value):
                raise ConfigError(f"{name}: got '{value}', valid: a URL such as http://localhost:4318")
        if self.proxy_url and not _is_url(self.proxy_url):
            raise ConfigError(f"proxy_url: got '{self.proxy_url}', valid: a URL such as http://proxy:3128")
        if self.tls.server_name_override:
            raise ConfigError("tls::server_name_override: valid: nothing, for HTTP")
        if self.tls.insecure and self.url.startswith("https:"):
            raise ConfigError("tls::insecure: got 'true' for an https endpoint, valid: false, or an http endpoint")

    @property
    def url(self) -> str:
        """Where spans are posted."""
        return self.url_of("traces")

    def url_of(self, signal: str) -> str:
        """Where a signal (traces, metrics, logs) is posted."""
        own: str = getattr(self, f"{signal}_endpoint")
        return own or f"{self.endpoint.rstrip('/')}/v1/{signal}"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False
