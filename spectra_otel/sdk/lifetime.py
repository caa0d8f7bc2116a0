"""The ends of a process: what must be flushed when, so that the last call is never lost.

=============================  ==================================================================================
a script ends, ``sys.exit``,   ``atexit`` (in spawned and forked gunicorn workers too)
an uncaught exception
SIGTERM with no handler        ours flushes for at most two seconds, then the signal does what it would have done.
                               uvicorn and ``multiprocessing.Pool`` end this way
a ``multiprocessing`` child    its own finalizers run, ``atexit`` does not
``os._exit``, SIGKILL          nothing can run: call ``spectra.force_flush()`` before
=============================  ==================================================================================
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from spectra_otel import faults

EXIT_SECONDS = 10.0
SIGTERM_SECONDS = 2.0


class Lifetime:
    """Calls ``at_exit`` when the process ends in order and ``at_signal`` on SIGTERM; both take seconds."""

    def __init__(self, at_exit: Callable[[float], object], at_signal: Callable[[float], object]) -> None:
        self._at_exit = at_exit
        self._at_signal = at_signal
        self._finalizer_of: int | None = None
        self._is_open = True
        atexit.register(self._exit)
        self._take_sigterm()

    def close(self) -> None:
        """Give everything back."""
        self._is_open = False
        atexit.unregister(self._exit)
        if _is_main_thread() and signal.getsignal(signal.SIGTERM) == self._on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch_multiprocessing(self) -> None:
        """In a child of ``multiprocessing``: have its finalizers call ``at_exit``, for it ends by ``os._exit``."""
        process = sys.modules.get("multiprocessing.process")
        if process is None or self._finalizer_of == os.getpid() or process.parent_process() is None:
            return
        self._finalizer_of = os.getpid()
        from multiprocessing.util import Finalize

        Finalize(None, self._exit, exitpriority=-100)

    def _exit(self) -> None:
        if self._is_open:
            try:
                self._at_exit(EXIT_SECONDS)
            except Exception as error:
                faults.report("exit", error)

    def _take_sigterm(self) -> None:
        if _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> Any:
        try:
            if self._is_open:
                self._at_signal(SIGTERM_SECONDS)
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
