"""How a call that a budget stops ends, and how soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

E = TypeVar("E", bound=BaseException)


def ends_at_once(call: Callable[[], object], expected: type[E]) -> tuple[E, int]:
    """The exception that ``call`` ends with, within a second, and how many calls that took.

    A busy machine has three tries: an SDK that waits before it calls again waits in each of them.
    """
    took: list[float] = []
    while True:
        begin = time.monotonic()
        with pytest.raises(expected) as caught:
            call()
        took.append(time.monotonic() - begin)
        if took[-1] < 1.0:
            return caught.value, len(took)
        assert len(took) < 3, f"it took {took} seconds"
