"""The official OTLP/gRPC exporter, made from our settings and from nothing else."""

from __future__ import annotations

from pathlib import Path

from grpc import ChannelCredentials, Compression, ssl_channel_credentials
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.exporters.otlp_http.config import ClientTls

COMPRESSION = {"gzip": Compression.Gzip, "deflate": Compression.Deflate, "none": Compression.NoCompression}


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
    )


def credentials_of(tls: ClientTls) -> ChannelCredentials:
    """The files of ``tls``, read."""
    return ssl_channel_credentials(
        root_certificates=_read(tls.ca_file),
        private_key=_read(tls.key_file),
        certificate_chain=_read(tls.cert_file),
    )


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
