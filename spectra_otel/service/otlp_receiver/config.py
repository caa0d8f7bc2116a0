"""Settings of the ``otlp`` receiver, named and defaulted as the collector's."""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra_otel.errors import ConfigError


@dataclass(slots=True)
class ServerTls:
    """TLS of a server. Absent means plain text; ``client_ca_file`` asks clients for a certificate."""

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    min_version: str = "1.2"

    def validate(self) -> None:
        """Raise ConfigError unless certificate and key come together."""
        if bool(self.cert_file) != bool(self.key_file):
            raise ConfigError("tls: for auth via TLS, provide both certificate and key, or neither")


@dataclass(slots=True)
class Cors:
    """Cross-origin requests from browsers; none are allowed unless ``allowed_origins`` names their origin."""

    allowed_origins: list[str] = field(default_factory=list)
    allowed_headers: list[str] = field(default_factory=list)
    exposed_headers: list[str] = field(default_factory=list)
    max_age: int = 0
    """Seconds a browser may keep the answer to a preflight request; 0 leaves it to the browser."""


@dataclass(slots=True)
class Auth:
    """Who may send: ``authenticator`` is the id of an extension."""

    authenticator: str = ""


@dataclass(slots=True)
class GrpcServer:
    """OTLP over gRPC."""

    endpoint: str = "localhost:4317"
    max_recv_msg_size_mib: int = 4
    include_metadata: bool = False
    tls: ServerTls | None = None
    auth: Auth | None = None


@dataclass(slots=True)
class HttpServer:
    """OTLP over HTTP."""

    endpoint: str = "localhost:4318"
    traces_url_path: str = "/v1/traces"
    metrics_url_path: str = "/v1/metrics"
    logs_url_path: str = "/v1/logs"
    max_request_body_size: int = 20 * 1024 * 1024
    """Bytes, after decompression."""
    include_metadata: bool = False
    compression_algorithms: list[str] = field(default_factory=lambda: ["", "gzip", "zstd", "deflate"])
    tls: ServerTls | None = None
    auth: Auth | None = None
    cors: Cors | None = None


@dataclass(slots=True)
class Protocols:
    """An absent protocol is off; an empty one is on with its defaults."""

    grpc: GrpcServer | None = None
    http: HttpServer | None = None


@dataclass(slots=True)
class OtlpReceiverConfig:
    """Settings of the ``otlp`` receiver."""

    protocols: Protocols = field(default_factory=Protocols)

    def validate(self) -> None:
        """Raise ConfigError where no protocol is on, or one cannot work."""
        servers = [server for server in (self.protocols.grpc, self.protocols.http) if server is not None]
        if not servers:
            raise ConfigError("must specify at least one protocol when using the OTLP receiver")
        for server in servers:
            host, colon, port = server.endpoint.rpartition(":")
            if not (colon and port.isdecimal() and int(port) <= 65535):
                raise ConfigError(
                    f"endpoint: got '{server.endpoint}', valid: host:port such as {host or 'localhost'}:4318"
                )
            if server.tls is not None:
                server.tls.validate()
