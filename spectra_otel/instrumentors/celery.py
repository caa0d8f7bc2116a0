"""Celery workers: records are on disk before a pool's process ends, which runs no exit handlers.

With ``SPECTRA_PERSISTENCE=after_response`` also after each task.
"""

from __future__ import annotations

import sys
from typing import Any

from spectra_otel.instrumentors.observing import Observer

FLUSH_SECONDS = 5.0
_ID = "spectra_otel"
_is_connected = False


def install(observer: Observer) -> None:
    """Listen to the worker's signals, if the module is imported."""
    global _is_connected
    signals = sys.modules.get("celery.signals")
    if signals is None or _is_connected:
        return
    signals.worker_process_shutdown.connect(_on_shutdown, weak=False, dispatch_uid=_ID)
    if observer.settings.persistence == "after_response":
        signals.task_postrun.connect(_on_task, weak=False, dispatch_uid=_ID)
    _is_connected = True


def uninstall() -> None:
    """Listen no more."""
    global _is_connected
    signals = sys.modules.get("celery.signals")
    if signals is not None and _is_connected:
        signals.worker_process_shutdown.disconnect(dispatch_uid=_ID)
        signals.task_postrun.disconnect(dispatch_uid=_ID)
    _is_connected = False


def _on_shutdown(**_: Any) -> None:
    _flush(settle=True)


def _on_task(**_: Any) -> None:
    _flush(settle=False)


def _flush(*, settle: bool) -> None:
    from spectra_otel.sdk.runtime import current_host

    host = current_host()
    if host is not None:
        host.force_flush(FLUSH_SECONDS, settle=settle)
