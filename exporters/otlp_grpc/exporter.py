"""The official OTLP/gRPC exporter, made from our settings and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from grpc import ChannelCredentials, Compression, ssl_channel_credentials
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.service.sending.client import ClientTls

COMPRESSION = {
    "gzip": Compression.Gzip,
    "deflate": Compression.Deflate,
    "none": Compression.NoCompression,
    "": Compression.NoCompression,
}


class _Headers(tuple[tuple[str, str], ...]):
    """Metadata that counts as given even when there is none.

    The official exporter takes ``OTEL_EXPORTER_OTLP_HEADERS`` where its argument is falsy. They hold the credentials of the
    application's own backend, which no other destination must see.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


def make_exporter(config: OtlpGrpcConfig) -> OTLPSpanExporter:
    """The exporter; its retry, compression and TLS are those of opentelemetry-exporter-otlp-proto-grpc."""
    insecure = config.tls.insecure or config.endpoint.startswith("http://")
    return OTLPSpanExporter(
        endpoint=config.endpoint,
        insecure=insecure,
        credentials=None if insecure else credentials_of(config.tls),
        headers=_Headers((name.lower(), value.reveal()) for name, value in config.headers.items()),
        timeout=float(config.timeout),
        compression=COMPRESSION[config.compression],
        channel_options=cast("Any", tuple(channel_options(config))),
    )


def channel_options(config: OtlpGrpcConfig) -> list[tuple[str, str | int]]:
    """Arguments of gRPC's core for what is set."""
    milliseconds = {
        "grpc.keepalive_time_ms": config.keepalive.time,
        "grpc.keepalive_timeout_ms": config.keepalive.timeout,
    }
    texts = {
        "grpc.lb_policy_name": config.balancer_name,
        "grpc.default_authority": config.authority,
        "grpc.ssl_target_name_override": config.tls.server_name_override,
    }
    return [
        *((name, round(value * 1000)) for name, value in milliseconds.items() if value > 0),
        *((name, value) for name, value in texts.items() if value),
        *([("grpc.keepalive_permit_without_calls", 1)] if config.keepalive.permit_without_stream else []),
    ]


def credentials_of(tls: ClientTls) -> ChannelCredentials:
    """The files of ``tls``, read."""
    return ssl_channel_credentials(
        root_certificates=_read(tls.ca_file),
        private_key=_read(tls.key_file),
        certificate_chain=_read(tls.cert_file),
    )


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
