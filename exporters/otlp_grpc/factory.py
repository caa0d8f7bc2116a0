"""The factory of the ``otlp_grpc`` exporter."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.otlp_grpc.config import OtlpGrpcConfig
from spectra_otel.sdk.span_export import wrap


def factory() -> Factory[OtlpGrpcConfig, SpanExporter]:
    """Make the factory."""
    return Factory("otlp_grpc", Stability.BETA, OtlpGrpcConfig, _create, deprecated_alias="otlp")


def _create(id_: ComponentID, config: OtlpGrpcConfig) -> SpanExporter:
    try:
        from spectra_otel.exporters.otlp_grpc.exporter import make_exporter
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"needs a package that is not installed: pip install 'spectra-otel[grpc]' ({error})"
        ) from error
    return wrap(make_exporter(config), config)
