"""The factory of the ``prometheus`` exporter."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.exporters.prometheus.config import PrometheusConfig


def factory() -> Factory[PrometheusConfig, SpanExporter]:
    """Make the factory."""
    return Factory(
        "prometheus", Stability.BETA, PrometheusConfig, _create, records=True, claimed_only=True, needs="usage"
    )


def _create(id_: ComponentID, config: PrometheusConfig) -> SpanExporter:
    from spectra_otel.exporters.prometheus.exporter import PrometheusExporter

    return PrometheusExporter(config)
