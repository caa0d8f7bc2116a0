"""The ``opentelemetry_pre_instrument`` hook: how Spectra starts beside any distro, also under ``OTEL_CONFIG_FILE``.

The launcher calls it with no arguments, after the configurator and before the instrumentors, and does not guard it.
"""

from __future__ import annotations


def pre_instrument() -> None:
    """Start from the environment. Raises nothing, whatever happens."""
    try:
        from spectra_otel.sdk.runtime import start_from_environment

        start_from_environment()
    except BaseException as error:  # an exception here would end the launcher's whole initialization
        import logging

        logging.getLogger("spectra_otel").warning("Spectra: not started, the app runs on without it: %s", error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
