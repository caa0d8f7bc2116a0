"""The ``spectra`` distro: defaults under which a user without a backend sees no connection errors."""

from __future__ import annotations

import logging
import os
from typing import Any

from opentelemetry.environment_variables import OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # its module is not typed
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
)
from opentelemetry.util._importlib_metadata import EntryPoint

from spectra_otel import faults

_ENDPOINTS = {
    OTEL_TRACES_EXPORTER: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_METRICS_EXPORTER: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_LOGS_EXPORTER: OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
}


def _is_news(entry: logging.LogRecord) -> bool:
    return not str(entry.msg).startswith("Configuration of %s not loaded")


class SpectraDistro(BaseDistro):  # type: ignore[misc]
    """Sets defaults only: each ``OTEL_*_EXPORTER`` is ``otlp`` where an endpoint is named, else ``none``; OTLP goes over HTTP."""

    def _configure(self, **kwargs: Any) -> None:
        for exporter, endpoint in _ENDPOINTS.items():
            is_named = os.environ.get(endpoint) or os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT)
            os.environ.setdefault(exporter, "otlp" if is_named else "none")
        os.environ.setdefault(OTEL_EXPORTER_OTLP_PROTOCOL, "http/protobuf")
        # Where the stock distro is installed too, the launcher warns at each start that its configurator was not loaded.
        logging.getLogger("opentelemetry.instrumentation.auto_instrumentation._load").addFilter(_is_news)

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentor; one that breaks is reported and does not take the others down with it."""
        try:
            super().load_instrumentor(entry_point, **kwargs)
        except ImportError:
            raise  # the launcher tells a library that is absent from one that is broken
        except Exception as error:
            faults.report(f"instrumentor {entry_point.name}", error)
