"""The factory of the ``file`` exporter."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.exporters.file.config import FileConfig
from spectra_otel.sdk.span_export import wrap


def factory() -> Factory[FileConfig, SpanExporter]:
    """Make the factory."""
    return Factory("file", Stability.BETA, FileConfig, _create)


def _create(id_: ComponentID, config: FileConfig) -> SpanExporter:
    from spectra_otel.exporters.file.exporter import FileExporter

    return wrap(FileExporter(config), config)
