"""Where our own faults end: said once, counted, never raised into the app.

Code that runs on the app's call path or on a worker wraps its work in ``try`` and gives what it caught to :func:`report`.
"""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock

from spectra_otel.forks import in_forked_child

_logger = logging.getLogger("spectra_otel")
_lock = Lock()
_counts: Counter[str] = Counter()


def report(where: str, error: BaseException | str) -> None:
    """Count a fault of ``where`` (a short phrase: "processor usage"), and log the first of its kind as one warning line.

    ``error`` is what was caught, or a sentence. Repeats are only counted; the traceback is logged at DEBUG.
    """
    kind = f"{where}: {error if isinstance(error, str) else type(error).__name__}"
    with _lock:
        _counts[kind] += 1
        first = _counts[kind] == 1
    if not first:
        return
    if isinstance(error, str):
        _logger.warning("Spectra: %s: %s", where, error)
        return
    _logger.warning("Spectra: %s: %s: %s (said once; the app goes on)", where, type(error).__name__, error)
    _logger.debug("Spectra: %s", where, exc_info=error)


def _fresh_lock() -> None:
    global _lock
    _lock = Lock()


in_forked_child(_fresh_lock)


def counts() -> dict[str, int]:
    """How often each fault happened in this process."""
    with _lock:
        return dict(_counts)
