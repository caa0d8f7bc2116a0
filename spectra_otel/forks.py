"""A forked child inherits locks that other threads held, and nobody to release them: it must begin with fresh ones.

What must not be in use while a process forks (SQLite, say) is let go before, and taken up again by both.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType


def in_forked_child(reset: Callable[[], None]) -> None:
    """Call ``reset`` first thing in each forked child. A bound method is held weakly; it must take no lock."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_weakly(reset))


def around_fork(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call ``before`` in a process that is about to fork, and ``after`` when it has. Bound methods are held weakly."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_weakly(before), after_in_parent=_weakly(after))


def _weakly(call: Callable[[], None]) -> Callable[[], None]:
    reference = weakref.WeakMethod(call) if isinstance(call, MethodType) else lambda: call

    def at_fork() -> None:
        if (found := reference()) is not None:
            found()

    return at_fork
