"""Settings of every client that sends OTLP, over HTTP and gRPC alike, named as the collector's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from spectra_otel.config.decode import Opaque
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.service.sending.config import SendingSettings

DEFAULT_TIMEOUT = Duration(30)


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
class ClientAuth:
    """``authenticator`` is the id of an extension that has the credentials of this exporter's requests."""

    authenticator: str = ""


@dataclass(slots=True)
class ClientSettings(SendingSettings):
    """Where the server is called ``endpoint``; what is sent with every request, how long one may take, and TLS."""

    endpoint: str = ""

    headers: dict[str, Opaque] = field(default_factory=dict)
    """Sent with every request, over gRPC as metadata, and never printed."""

    timeout: Duration = DEFAULT_TIMEOUT
    """For one export, retries included."""

    auth: ClientAuth | None = None
    """Credentials that an extension has, in ``spectra collect``."""

    tls: ClientTls = field(default_factory=ClientTls)
    """On for ``https`` endpoints, and for gRPC unless ``insecure``."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        SendingSettings.validate(self)
        if self.timeout <= 0:
            raise ConfigError(f"timeout: got '{self.timeout}', valid: a duration above 0s")
        self.tls.validate()
