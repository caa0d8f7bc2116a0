"""A forked child inherits locks that other threads held, and nobody to release them: it must begin with fresh ones."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType


def in_forked_child(reset: Callable[[], None]) -> None:
    """Call ``reset`` first thing in each forked child. A bound method is held weakly; it must take no lock."""
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.WeakMethod(reset) if isinstance(reset, MethodType) else lambda: reset

    def after_in_child() -> None:
        if (call := reference()) is not None:
            call()

    os.register_at_fork(after_in_child=after_in_child)
