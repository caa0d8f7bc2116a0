"""TLS of a server, from files that are read again where ``reload_interval`` says so.

What was read before stays in use while the files cannot be used: a certificate is often renewed in two steps.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import ConfigError
from spectra_otel.service.otlp_receiver.config import ServerTls

if TYPE_CHECKING:
    import grpc

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_log = logging.getLogger(__name__)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """TLS of an HTTP server. Raises :class:`ConfigError` for a file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version or "1.2"]
    if tls.max_version:
        context.maximum_version = _VERSIONS[tls.max_version]
    _load(context, tls)
    return context


async def keep_current(context: ssl.SSLContext, tls: ServerTls) -> None:
    """Give new connections of ``context`` the files as they are now, every ``reload_interval``; never ends."""
    while True:
        await asyncio.sleep(float(tls.reload_interval))
        try:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)  # half a pair would spoil the one in use
            _load(context, tls)
        except ConfigError as error:
            _log.error("%s", error)


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """TLS of a gRPC server. Raises :class:`ConfigError` for a file that cannot be used."""
    import grpc

    first = _certificates(tls)
    interval = float(tls.reload_interval)
    due = time.monotonic() + interval

    def renewed() -> Any:
        """Asked for each new connection; None keeps what there is."""
        nonlocal due
        if not interval or time.monotonic() < due:
            return None
        due = time.monotonic() + interval
        try:
            return _certificates(tls)
        except ConfigError as error:
            _log.error("%s", error)
            return None

    is_mutual = bool(tls.client_ca_file)
    return grpc.dynamic_ssl_server_credentials(first, renewed, require_client_authentication=is_mutual)


def _load(context: ssl.SSLContext, tls: ServerTls) -> None:
    settings = f"cert_file '{tls.cert_file}' with key_file '{tls.key_file}'"
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.client_ca_file:
            settings = f"client_ca_file '{tls.client_ca_file}'"
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is an OSError, and names no file
        raise ConfigError(f"tls: failed to load {settings}: {error.strerror or error}") from error


def _certificates(tls: ServerTls) -> Any:
    import grpc

    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)  # gRPC would say nothing of a pair that does not match
    pair = (Path(tls.key_file).read_bytes(), Path(tls.cert_file).read_bytes())
    authority = Path(tls.client_ca_file).read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_certificate_configuration([pair], authority)
