"""Sessions of containers in which OpenAI runs code: one is billed for each 20 minutes, however many responses use it.

What other processes did with a container is not known here: each counts it once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from spectra_otel.forks import in_forked_child

SESSION_SECONDS = 20 * 60
"""developers.openai.com/api/docs/pricing, "20-minute session" of a container."""
_MOST = 10_000


class Sessions:
    """Which response began the present session of each container."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._fresh_lock()
        in_forked_child(self._fresh_lock)

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def is_billed(self, container: str, response: str | None) -> bool:
        """Whether ``response`` is the one that pays; the same answer however often it is read. One without an id pays."""
        if not response:
            return True
        now = time.monotonic()
        with self._lock:
            payer, since = self._begun.get(container, ("", 0.0))
            if payer and now - since < SESSION_SECONDS:
                return payer == response
            self._begun[container] = response, now
            self._begun.move_to_end(container)
            if len(self._begun) > _MOST:
                self._begun.popitem(last=False)
        return True


sessions = Sessions()
"""Those that this process has seen."""
