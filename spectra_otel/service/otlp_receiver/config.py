"""Settings of the ``otlp`` receiver, named and defaulted as the collector's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError

_UNSET = Duration(0)
_MINUTE = Duration(60)
_LARGEST_MIB = 2047
"""gRPC counts bytes in 32 bits."""
LARGEST_BODY = 20 * 1024 * 1024
TLS_VERSIONS = ("1.0", "1.1", "1.2", "1.3")


@dataclass(slots=True)
class ServerTls:
    """TLS of a server. Absent means plain text; ``client_ca_file`` asks clients for a certificate."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("ca_file", "include_system_ca_certs_pool"))

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    min_version: str = "1.2"
    max_version: str = ""
    """Empty: the newest there is. Both versions are HTTP's alone: gRPC has 1.2 and newer."""
    reload_interval: Duration = _UNSET
    """How often the files are read again, for new connections; 0: never."""

    def validate(self) -> None:
        """Raise ConfigError unless certificate and key are there, and the versions exist."""
        if not (self.cert_file and self.key_file):
            raise ConfigError("tls: TLS configuration must include both certificate and key for server connections")
        for name in ("min_version", "max_version"):
            version = getattr(self, name)
            if version and version not in TLS_VERSIONS:
                valid = ", ".join(TLS_VERSIONS)
                raise ConfigError(f'tls: invalid TLS {name}: unsupported TLS version: "{version}", valid: {valid}')
        if self.max_version and (self.min_version or "1.2") > self.max_version:
            raise ConfigError("tls: invalid TLS configuration: min_version cannot be greater than max_version")


@dataclass(slots=True)
class ServerParameters:
    """How long gRPC keeps connections; 0: as gRPC has it."""

    max_connection_idle: Duration = _UNSET
    max_connection_age: Duration = _UNSET
    """After so long clients connect anew, which spreads them over replicas."""
    max_connection_age_grace: Duration = _UNSET
    time: Duration = _UNSET
    """A connection that was silent for so long is asked whether it lives."""
    timeout: Duration = _UNSET


@dataclass(slots=True)
class EnforcementPolicy:
    """How often clients may ask whether the server lives."""

    min_time: Duration = _UNSET
    permit_without_stream: bool = False


@dataclass(slots=True)
class ServerKeepalive:
    """``keepalive`` of gRPC."""

    server_parameters: ServerParameters = field(default_factory=ServerParameters)
    enforcement_policy: EnforcementPolicy = field(default_factory=EnforcementPolicy)


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

    without_effect: ClassVar[frozenset[str]] = frozenset(("read_buffer_size", "write_buffer_size"))

    endpoint: str = "localhost:4317"
    transport: Literal["tcp", "unix"] = "tcp"
    """``unix``: ``endpoint`` is the path of a socket."""
    max_recv_msg_size_mib: int = 4
    max_concurrent_streams: int = 0
    """Calls at once on one connection; 0: as gRPC has it."""
    keepalive: ServerKeepalive = field(default_factory=ServerKeepalive)
    include_metadata: bool = False
    tls: ServerTls | None = None
    auth: Auth | None = None


@dataclass(slots=True)
class HttpServer:
    """OTLP over HTTP."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        ("read_header_timeout", "write_timeout", "keep_alives_enabled")
    )

    endpoint: str = "localhost:4318"
    transport: Literal["tcp", "unix"] = "tcp"
    """``unix``: ``endpoint`` is the path of a socket."""
    traces_url_path: str = "/v1/traces"
    metrics_url_path: str = "/v1/metrics"
    logs_url_path: str = "/v1/logs"
    max_request_body_size: int = LARGEST_BODY
    """Bytes, after decompression; 0: the default."""
    read_timeout: Duration = Duration(30)  # noqa: RUF009  (durations are immutable)
    """A client that is slower than this with one body is let go."""
    idle_timeout: Duration = _MINUTE
    """How long a connection is kept on which nothing comes."""
    response_headers: dict[str, str] = field(default_factory=dict)
    """Of every answer."""
    include_metadata: bool = False
    compression_algorithms: list[str] = field(default_factory=lambda: ["", "gzip", "zstd", "zlib", "deflate"])
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
        for name in ("grpc", "http"):
            server = getattr(self.protocols, name)
            if server is not None:
                _check(name, server)


def _check(name: str, server: GrpcServer | HttpServer) -> None:
    host, colon, port = server.endpoint.rpartition(":")
    if server.transport == "tcp" and not (colon and port.isdecimal() and int(port) <= 65535):
        raise ConfigError(f"endpoint: got '{server.endpoint}', valid: host:port such as {host or 'localhost'}:4318")
    if server.transport == "unix" and not server.endpoint:
        raise ConfigError("endpoint: got '', valid: the path of a socket")
    if isinstance(server, GrpcServer) and not 0 < server.max_recv_msg_size_mib <= _LARGEST_MIB:
        raise ConfigError(
            f"protocols::{name}: invalid max_recv_msg_size_mib value, must be between 1 and {_LARGEST_MIB}: "
            f"{server.max_recv_msg_size_mib}"
        )
    if server.tls is not None:
        server.tls.validate()
