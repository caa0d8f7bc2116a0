"""Bare and observed calls in turns, the way the benches of the call path measure.

Every pair is one block of bare calls and one of observed calls, next to each other and in alternating order. Reported is the
median of the pairs' differences with its quartiles: a machine that slows down for a while disturbs the pairs of that while, and
both halves of them alike. Wall time, and time of the calling thread on a processor, which a busy machine disturbs less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median, quantiles

Row = dict[str, float | list[float]]


def added(
    call: Callable[[], object], switch: Callable[[bool], None], pairs: int, *, block: int = 1, per: int = 1
) -> Row:
    """What ``switch(True)`` adds to ``call``, in µs, from ``pairs`` of blocks of ``block`` calls; one call has ``per`` units."""
    bare: list[float] = []
    walls: list[float] = []
    threads: list[float] = []
    scale = block * per * 1000
    for number in range(pairs + max(5, pairs // 20)):
        first = bool(number % 2)
        times = {observed: _block(call, switch, block, observed) for observed in (first, not first)}
        (wall, thread), (with_wall, with_thread) = times[False], times[True]
        bare.append(wall / scale)
        walls.append((with_wall - wall) / scale)
        threads.append((with_thread - thread) / scale)
    kept = slice(max(5, pairs // 20), None)  # the first ones warm up
    return {
        "bare_us": round(median(bare[kept]), 2),
        "added_us": round(median(walls[kept]), 2),
        "added_thread_us": round(median(threads[kept]), 2),
        "thread_quartiles_us": [round(cut, 2) for cut in quantiles(threads[kept], n=4)[::2]],
    }


def _block(call: Callable[[], object], switch: Callable[[bool], None], block: int, observed: bool) -> tuple[int, int]:
    """Nanoseconds by the clock, and on a processor."""
    switch(observed)
    wall, thread = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(block):
        call()
    return time.perf_counter_ns() - wall, time.thread_time_ns() - thread
