"""What the garbage collector found unfinished, settled elsewhere.

The collector may run in the middle of anything, also while the same thread holds a queue's or an exporter's lock. So a
finaliser only puts aside what it was called for; a thread of our own settles it, and so does a flush.
"""

from __future__ import annotations

import os
import threading
from queue import Empty, SimpleQueue
from typing import Protocol


class Closable(Protocol):
    """Something whose ``close`` settles it, once; it must not raise."""

    def close(self) -> None: ...


class Abandoned:
    """The one place of the process for what was let go of. ``watch`` before there is anything that could be."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start with nothing: what a forked child does, for its parent's streams are its parent's."""
        self._found: SimpleQueue[Closable] = SimpleQueue()
        self._settling = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Have the thread running. Not left to :meth:`put`, which must not wait for anything."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(self._found,), name="spectra-streams", daemon=True)
            self._thread.start()

    def put(self, found: Closable) -> None:
        """Have it closed soon. Safe wherever the garbage collector runs."""
        self._found.put(found)

    def settle(self) -> None:
        """Close what is there now."""
        with self._settling:
            try:
                while True:
                    self._found.get_nowait().close()
            except Empty:
                pass

    def _work(self, found: SimpleQueue[Closable]) -> None:
        while True:
            item = found.get()
            with self._settling:
                item.close()
            del item


abandoned = Abandoned()
"""The one of the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=abandoned.reset)
