"""The ``spectra`` configurator: the SDK's own, which does not take the launch down with it when it fails."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._configuration import _OTelSDKConfigurator

from spectra_otel import faults


class SpectraConfigurator(_OTelSDKConfigurator):
    """Configures the SDK from ``OTEL_*`` or ``OTEL_CONFIG_FILE``; a failure is one line, and the hooks still run."""

    def _configure(self, **kwargs: Any) -> None:
        try:
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
        except Exception as error:
            faults.report("the OpenTelemetry SDK could not be configured", error)
