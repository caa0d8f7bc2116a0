"""What sees the app's AI calls on the wire: one module per HTTP client, and what they share.

``install`` observes the clients that are imported and those that will be, without importing any.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spectra_otel.instrumentors.exchange import Observer
    from spectra_otel.sdk.host import Host

_observer: Observer | None = None


def install(host: Host) -> None:
    """Observe the process's HTTP clients on behalf of ``host``, in place of an earlier one.

    Raises :class:`~spectra_otel.errors.ConfigError` for a setting that cannot be used.
    """
    global _observer
    from spectra_otel.config.settings import read_settings
    from spectra_otel.instrumentors import httpx
    from spectra_otel.instrumentors.exchange import Observer
    from spectra_otel.providers.registry import load
    from spectra_otel.tracking import context

    uninstall()
    settings = read_settings()
    context.set_process_defaults(context.attribution(tags=settings.tags, metadata=settings.metadata))
    _observer = Observer(host, load(settings.provider_hosts), settings)
    host.before_flush(_observer.taps.settle)
    httpx.install(_observer)


def uninstall() -> None:
    """Leave the HTTP clients as they were; streams that are open are settled."""
    global _observer
    if _observer is None:
        return
    from spectra_otel.instrumentors import httpx

    httpx.uninstall()
    observer, _observer = _observer, None
    observer.taps.settle()


def observer() -> Observer | None:
    """What observes this process; None where nothing is installed."""
    return _observer


def _forget_in_child() -> None:
    if _observer is not None:
        _observer.taps.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
