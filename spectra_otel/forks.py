"""A forked child inherits locks that other threads held, and nobody to release them: it must begin with fresh ones.

What must not be in use while a process forks (SQLite, say) is let go before, and taken up again by both.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from threading import Lock
from types import MethodType


def in_forked_child(reset: Callable[[], None]) -> None:
    """Call ``reset`` first thing in each forked child. A bound method is held weakly; it must take no lock."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_weakly(reset))


def around_fork(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call ``before`` in a process that is about to fork, and ``after`` when it has. Bound methods are held weakly."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_weakly(before), after_in_parent=_weakly(after))


def may_wait() -> bool:
    """Whether a fork can wait for other threads.

    Where gevent makes them greenlets of this very thread, to wait is to have them run: one that forks, too, would do so in the
    middle of this fork. They are suspended while it happens, and its child has them as they are.
    """
    monkey = sys.modules.get("gevent.monkey")
    return monkey is None or not monkey.is_module_patched("threading")


def take(lock: Lock, seconds: float = -1) -> bool:
    """Take a lock for the time of a fork; one that is held only where it :func:`may_wait`, so long. Whether it was taken."""
    return (may_wait() or not lock.locked()) and lock.acquire(timeout=seconds)


def _weakly(call: Callable[[], None]) -> Callable[[], None]:
    reference = weakref.WeakMethod(call) if isinstance(call, MethodType) else lambda: call

    def at_fork() -> None:
        if (found := reference()) is not None:
            found()

    return at_fork
