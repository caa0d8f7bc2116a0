"""The factory of the ``debug`` exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.exporters.debug.config import DebugConfig
from spectra_otel.sdk.span_export import wrap


def factory() -> Factory[DebugConfig, SpanExporter]:
    """Make the factory."""
    return Factory(
        "debug",
        Stability.BETA,
        DebugConfig,
        _create,
        signals=("traces", "metrics", "logs"),
        requests=_requests,
    )


def _create(id_: ComponentID, config: DebugConfig) -> SpanExporter:
    from spectra_otel.exporters.debug.exporter import DebugExporter

    return wrap(DebugExporter(config), config)


def _requests(config: DebugConfig) -> Callable[[str, Any], None]:
    from spectra_otel.exporters.debug.exporter import DebugExporter

    return DebugExporter(config).print_request
