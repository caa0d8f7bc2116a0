"""What sees the app's AI calls on the wire: one module per HTTP client, and what they share.

``install`` observes the clients that are imported and those that will be, without importing any. The machinery behind it
(providers, streams) is imported with the first client.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import TYPE_CHECKING

from spectra_otel.instrumentors import imports

if TYPE_CHECKING:
    from spectra_otel.config.settings import Settings
    from spectra_otel.instrumentors.observing import Observer
    from spectra_otel.sdk.host import Host

CLIENTS = {
    "httpx": "httpx", "httpx2": "httpx", "requests": "requests", "aiohttp": "aiohttp", "botocore.httpsession": "botocore",
    "celery.signals": "celery",
}  # fmt: skip
"""Module whose import we wait for → our module that observes it."""
_installed: tuple[Host, Settings] | None = None
_observer: Observer | None = None


def install(host: Host) -> None:
    """Observe the process's HTTP clients on behalf of ``host``, in place of an earlier one.

    Raises :class:`~spectra_otel.errors.ConfigError` for a setting that cannot be used.
    """
    global _installed
    from spectra_otel.config.settings import read_settings

    uninstall()
    settings = read_settings()
    if settings.provider_hosts:  # what somebody wrote is checked now, where they see it
        from spectra_otel.providers.registry import load

        load(settings.provider_hosts)
    if settings.tags or settings.metadata or "spectra_otel.tracking.context" in sys.modules:
        from spectra_otel.tracking import context
        from spectra_otel.tracking.attribution import attribution

        context.set_process_defaults(attribution(tags=settings.tags, metadata=settings.metadata))
    _installed = (host, settings)
    for name, ours in CLIENTS.items():
        imports.when_imported((name,), functools.partial(_observe_client, ours))


def uninstall() -> None:
    """Leave the HTTP clients as they were; streams that are open are settled."""
    global _installed, _observer
    _installed = None
    imports.forget(CLIENTS)
    if _observer is None:
        return
    for name in set(CLIENTS.values()):
        module = sys.modules.get(f"{__name__}.{name}")
        if module is not None:
            module.uninstall()
    observer, _observer = _observer, None
    observer.taps.settle()


def observer() -> Observer | None:
    """What observes this process; None where nothing is installed."""
    global _observer
    if _observer is None and _installed is not None:
        from spectra_otel.instrumentors.observing import Observer
        from spectra_otel.providers import custom
        from spectra_otel.providers.registry import load

        host, settings = _installed
        _observer = Observer(host, load(settings.provider_hosts), settings)
        host.before_flush(_observer.taps.settle)
        custom.on_register(_observer.add_provider)
    return _observer


def _observe_client(name: str) -> None:
    if (current := observer()) is not None:
        importlib.import_module(f"{__name__}.{name}").install(current)


def _forget_in_child() -> None:
    if _observer is not None:
        _observer.taps.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
