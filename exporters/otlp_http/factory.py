"""The factory of the ``otlp_http`` exporter."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.exporters.otlp_http.config import OtlpHttpConfig
from spectra_otel.otlp.transport import Transport
from spectra_otel.sdk.span_export import PerProcessExporter, wrap


def factory() -> Factory[OtlpHttpConfig, SpanExporter]:
    """Make the factory."""
    return Factory(
        "otlp_http",
        Stability.BETA,
        OtlpHttpConfig,
        _create,
        deprecated_alias="otlphttp",
        transport=_transport,
        signals=("traces", "metrics", "logs"),
    )


def _transport(config: OtlpHttpConfig) -> Transport:
    config.tls.check_files()
    from spectra_otel.exporters.otlp_http.transport import HttpTransport

    return HttpTransport(config)


def _create(id_: ComponentID, config: OtlpHttpConfig) -> SpanExporter:
    config.tls.check_files()

    def make() -> SpanExporter:
        from spectra_otel.exporters.otlp_http.exporter import make_exporter

        return make_exporter(config)

    return wrap(PerProcessExporter(make), config)
