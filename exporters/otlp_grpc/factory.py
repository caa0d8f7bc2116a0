"""The factory of the ``otlp_grpc`` exporter."""

from __future__ import annotations

from importlib.util import find_spec

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.otlp.transport import Transport
from spectra_otel.sdk.span_export import PerProcessExporter, wrap

_PACKAGE = "opentelemetry-exporter-otlp-proto-grpc"


def factory() -> Factory[OtlpGrpcConfig, SpanExporter]:
    """Make the factory."""
    return Factory(
        "otlp_grpc",
        Stability.BETA,
        OtlpGrpcConfig,
        _create,
        deprecated_alias="otlp",
        transport=_transport,
        signals=("traces", "metrics", "logs"),
    )


def _transport(config: OtlpGrpcConfig) -> Transport:
    _need_package()
    config.tls.check_files()
    from spectra_otel.exporters.otlp_grpc.transport import GrpcTransport

    return GrpcTransport(config)


def _create(id_: ComponentID, config: OtlpGrpcConfig) -> SpanExporter:
    _need_package()
    config.tls.check_files()

    def make() -> SpanExporter:
        from spectra_otel.exporters.otlp_grpc.exporter import make_exporter

        return make_exporter(config)

    return wrap(PerProcessExporter(make), config)


def _need_package() -> None:
    if not _is_installed():
        raise ConfigError(f"needs {_PACKAGE}, which is not installed: pip install 'spectra-otel[grpc]'")


def _is_installed() -> bool:
    """Looked up, not imported: gRPC takes a tenth of a second that the start of an application need not wait."""
    try:
        return all(find_spec(name) for name in ("grpc", "opentelemetry.exporter.otlp.proto.grpc"))
    except ModuleNotFoundError:
        return False
