"""The factory of the ``zipkin`` exporter."""

from __future__ import annotations

from importlib.util import find_spec

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.exporters.zipkin.config import ZipkinConfig
from spectra_otel.otlp.transport import Transport
from spectra_otel.sdk.span_export import PerProcessExporter, wrap


def factory() -> Factory[ZipkinConfig, SpanExporter]:
    """Make the factory."""
    return Factory("zipkin", Stability.BETA, ZipkinConfig, _create, transport=_transport)


def _create(id_: ComponentID, config: ZipkinConfig) -> SpanExporter:
    _need_package()

    def make() -> SpanExporter:
        from spectra_otel.exporters.zipkin.exporter import ZipkinExporter

        return ZipkinExporter(config)

    return wrap(PerProcessExporter(make), config)


def _transport(config: ZipkinConfig) -> Transport:
    _need_package()
    from spectra_otel.exporters.zipkin.exporter import ZipkinTransport

    return ZipkinTransport(config)


def _need_package() -> None:
    try:
        found = find_spec("opentelemetry.exporter.zipkin.json")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigError(
            "needs opentelemetry-exporter-zipkin-json, which is not installed: pip install 'spectra-otel[zipkin]'"
        )
