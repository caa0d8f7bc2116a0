"""Settings of the ``otlp_http`` exporter, named as the collector's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from spectra_otel.config.decode import Opaque
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.service.sending.config import ClientAuth, SendingSettings

DEFAULT_TIMEOUT = Duration(30)
_ENDPOINTS = ("endpoint", "traces_endpoint", "metrics_endpoint", "logs_endpoint")


@dataclass(slots=True)
class ClientTls:
    """TLS towards the server; the system's certificate authorities where ``ca_file`` is empty."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("reload_interval", "include_system_ca_certs_pool"))

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False
    """No TLS. For HTTP the scheme of the endpoint decides, so this must agree with it."""
    insecure_skip_verify: bool = False
    """TLS with whoever answers; HTTP alone, as gRPC for Python always verifies."""
    server_name_override: str = ""
    """The name in the server's certificate; gRPC alone."""
    min_version: Literal["1.2"] = "1.2"

    def validate(self) -> None:
        """Raise ConfigError unless certificate and key come together."""
        if bool(self.cert_file) != bool(self.key_file):
            raise ConfigError("tls: for auth via TLS, provide both certificate and key, or neither")

    def check_files(self) -> None:
        """Raise ConfigError where a file cannot be read: at start, rather than at every export."""
        for name in ("ca_file", "cert_file", "key_file"):
            path = getattr(self, name)
            try:
                if path:
                    Path(path).read_bytes()
            except OSError as error:
                raise ConfigError(f"tls::{name}: cannot read '{path}': {error.strerror}") from error


@dataclass(slots=True)
class OtlpHttpConfig(SendingSettings):
    """Settings of the ``otlp_http`` exporter."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        (
            "compression_params", "cookies", "disable_keep_alives", "force_attempt_http2", "http2_ping_timeout",
            "http2_read_idle_timeout", "idle_conn_timeout", "max_conns_per_host", "max_idle_conns", "max_idle_conns_per_host",
            "profiles_endpoint", "read_buffer_size", "write_buffer_size",
        )
    )  # fmt: skip

    endpoint: str = ""
    """Base URL; ``/v1/traces`` is added to its path."""

    traces_endpoint: str = ""
    """The whole URL for traces; wins over ``endpoint``."""

    metrics_endpoint: str = ""
    """The whole URL for metrics, which the stand-alone collector forwards."""

    logs_endpoint: str = ""
    """The whole URL for logs."""

    headers: dict[str, Opaque] = field(default_factory=dict)
    """Sent with every request, and never printed."""

    timeout: Duration = DEFAULT_TIMEOUT
    """For one export, retries included."""

    compression: Literal["gzip", "zstd", "zlib", "deflate", "none", ""] = "gzip"
    """How bodies are compressed; an application sends gzip for zstd."""

    encoding: Literal["proto"] = "proto"
    """Bodies are protobuf."""

    proxy_url: str = ""
    """The proxy for every request; those of the environment are not used in ``spectra collect``."""

    auth: ClientAuth | None = None
    """Credentials that an extension has, in ``spectra collect``."""

    tls: ClientTls = field(default_factory=ClientTls)
    """TLS for ``https`` endpoints."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        SendingSettings.validate(self)
        if not any(getattr(self, name) for name in _ENDPOINTS):
            raise ConfigError("at least one endpoint must be specified")
        for name in _ENDPOINTS:
            value = getattr(self, name)
            if value and not _is_url(value):
                raise ConfigError(f"{name}: got '{value}', valid: a URL such as http://localhost:4318")
        if self.timeout <= 0:
            raise ConfigError(f"timeout: got '{self.timeout}', valid: a duration above 0s")
        if self.proxy_url and not _is_url(self.proxy_url):
            raise ConfigError(f"proxy_url: got '{self.proxy_url}', valid: a URL such as http://proxy:3128")
        self.tls.validate()
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
