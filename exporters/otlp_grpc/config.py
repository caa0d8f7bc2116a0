"""Settings of the ``otlp_grpc`` exporter, named as the collector's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.service.sending.client import ClientSettings

DEFAULT_TIMEOUT = Duration(5)
_ENDPOINT = re.compile(r"(?:https?://|dns:/*|unix:)?[^\s/]+(?::\d+)?/?\S*\Z")
_HEADER = re.compile(r"[0-9a-z_.-]+\Z")


@dataclass(slots=True)
class ClientKeepalive:
    """A connection that was silent for ``time`` is asked whether it lives, and has ``timeout`` to answer; 0: as gRPC has it."""

    time: Duration = Duration(0)  # noqa: RUF009  (durations are immutable)
    timeout: Duration = Duration(0)  # noqa: RUF009
    permit_without_stream: bool = False


@dataclass(slots=True)
class OtlpGrpcConfig(ClientSettings):
    """Settings of the ``otlp_grpc`` exporter. ``endpoint`` is ``host:port``; a scheme ``http://`` means no TLS."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("read_buffer_size", "write_buffer_size", "user_agent"))

    timeout: Duration = DEFAULT_TIMEOUT
    """As :class:`ClientSettings` has it, with the shorter default that the collector has for gRPC."""

    compression: Literal["gzip", "deflate", "none", ""] = "gzip"
    """How messages are compressed."""

    balancer_name: Literal["round_robin", "pick_first"] = "round_robin"
    """How calls are spread over the addresses of ``endpoint``."""

    authority: str = ""
    """What the server is told it is called."""

    keepalive: ClientKeepalive = field(default_factory=ClientKeepalive)

    wait_for_ready: bool = False
    """A call waits for the connection, up to ``timeout``, in ``spectra collect``."""

    def validate(self) -> None:
        """Raise ConfigError with one line that names the setting, the value and what is valid."""
        ClientSettings.validate(self)
        if not self.endpoint:
            raise ConfigError('requires a non-empty "endpoint"')
        if not _ENDPOINT.match(self.endpoint):
            raise ConfigError(f"endpoint: got '{self.endpoint}', valid: host:port such as localhost:4317")
        for name in self.headers:
            if not _HEADER.match(name.lower()):
                raise ConfigError(f"headers: got '{name}', valid: names of letters, digits, '-', '_' and '.'")
        _check_port(self.endpoint)
        if self.tls.insecure_skip_verify and not (self.tls.insecure or self.endpoint.startswith("http:")):
            raise ConfigError(
                "tls::insecure_skip_verify: got 'true', valid: false (gRPC for Python verifies always: use ca_file)"
            )
        if self.tls.insecure and self.endpoint.startswith("https:"):
            raise ConfigError("tls::insecure: got 'true' for an https endpoint, valid: false, or an http endpoint")


def _check_port(endpoint: str) -> None:
    """Raise ConfigError, in the collector's words, unless the address of a host has a port."""
    if endpoint.startswith("unix:"):
        return
    address = re.sub(r"\A(?:https?://|dns:/*(?:[^/]*/)?)", "", endpoint).partition("/")[0]
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        raise ConfigError(f"address {address}: missing port in address")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ConfigError(f"address {address}: too many colons in address")
    if not (port.isdecimal() and int(port) <= 65535):
        raise ConfigError(f'invalid port "{port}"')
