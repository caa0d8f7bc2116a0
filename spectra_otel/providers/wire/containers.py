"""Sessions of containers in which OpenAI runs code: one is billed for each 20 minutes, however many responses use it.

A container's id says when it was made. The response that was under way then has made it and pays for its first session, in
whatever process; others in that session pay nothing. Of later sessions, and of containers that the app itself has made, only what
this process did is known: the first response that it sees pays, and that is an estimate, for one elsewhere may have.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from spectra_otel.forks import in_forked_child

SESSION_SECONDS = 20 * 60
"""developers.openai.com/api/docs/pricing, "20-minute session" of a container."""
_MOST = 10_000
_ID = re.compile(r"cntr_(?:[0-9a-f]{16}00)?([0-9a-f]{8})(?=[0-9a-f]{24})")
"""The second it was made in, as `created_at` has it (developers.openai.com/api/reference, "The container object"), maybe behind
another id."""
_ROUNDED = 1
"""Both moments are in whole seconds."""


class Beginning(NamedTuple):
    """Of a response: when it began, in seconds since the epoch; whether the app named a container, or an earlier response."""

    at: float | None = None
    names_container: bool = False
    goes_on: bool = False


class Sessions:
    """Which response began the present session of each container."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._fresh_lock()
        in_forked_child(self._fresh_lock)

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def pays(self, container: str, response: str | None, beginning: Beginning) -> tuple[bool, bool]:
        """Whether ``response`` pays for a session of ``container``, and whether that is sure; the same each time it is read."""
        made = made_at(container)
        if made is None or beginning.at is None or beginning.names_container:
            pays = self._is_first(container, response)
            return pays, not (pays and (beginning.names_container or beginning.goes_on))
        age = beginning.at - made
        if _ROUNDED < age < SESSION_SECONDS:
            return False, True
        pays = self._is_first(container, response)
        return pays, not pays or age <= _ROUNDED

    def _is_first(self, container: str, response: str | None) -> bool:
        """Whether it is the first of a session that this process sees. One without an id is."""
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


def made_at(container: str) -> int | None:
    """When a container was made, in seconds since the epoch; None where its id does not say."""
    found = _ID.match(container)
    return int(found[1], 16) if found else None


sessions = Sessions()
"""Those that this process has seen."""
