from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from spectra_otel import faults
from spectra_otel.sdk.queue import WorkQueue


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_items_leave_in_order_and_in_batches() -> None:
    """The sink gets every item once, in order, in batches of the size asked for."""
    got: list[list[int]] = []
    queue = WorkQueue[int]("t", lambda batch: got.append(list(batch)), batch=10, linger=5)
    for n in range(25):
        queue.put(n)
    assert queue.flush(5)
    assert [n for batch in got for n in batch] == list(range(25))
    assert max(map(len, got)) == 10


def test_linger_ends_by_itself() -> None:
    """A lone item leaves without a flush, after its linger."""
    done = threading.Event()
    queue = WorkQueue[int]("t", lambda batch: done.set(), linger=0.05)
    queue.put(1)
    assert not done.wait(0.01)
    assert done.wait(2)


def test_no_thread_before_the_first_item() -> None:
    """A queue that nothing was put in has no thread."""
    before = threading.active_count()
    queue = WorkQueue[int]("t", lambda batch: None)
    assert queue.flush()
    assert threading.active_count() == before


def test_a_full_queue_drops_counts_and_never_blocks(gate: threading.Event) -> None:
    """Beyond its limit a queue drops what comes, says so once and counts it."""
    queue = WorkQueue[int]("full", lambda batch: void(gate.wait(5)), limit=10, batch=1, linger=0)
    queue.put(0)
    time.sleep(0.05)  # the worker holds the first item now
    start = time.monotonic()
    accepted = [queue.put(n) for n in range(15)]
    assert time.monotonic() - start < 4
    assert accepted.count(True) == 10
    assert queue.dropped == 5
    assert faults.counts()["queue full: 10 items wait, new ones are dropped"] == 5
    gate.set()
    assert queue.flush(5)


def test_a_sink_that_raises_does_not_end_the_worker() -> None:
    """What the sink raises is reported, and the next items follow."""
    got: list[int] = []

    def sink(batch: Sequence[int]) -> None:
        if 1 in batch:
            raise OSError("no")
        got.extend(batch)

    queue = WorkQueue[int]("raises", sink, linger=0)
    queue.put(1)
    assert queue.flush(5)
    queue.put(2)
    assert queue.flush(5)
    assert got == [2]
    assert faults.counts()["queue raises: OSError"] == 1


def test_flush_gives_up_after_its_timeout(gate: threading.Event) -> None:
    """A flush whose sink hangs returns False in time."""
    queue = WorkQueue[int]("t", lambda batch: void(gate.wait(5)), linger=0)
    queue.put(1)
    start = time.monotonic()
    assert not queue.flush(0.1)
    assert time.monotonic() - start < 4


def test_the_sink_may_flush_its_own_queue() -> None:
    """A sink that flushes its own queue does not wait for itself."""
    results: list[bool] = []
    queue = WorkQueue[int]("t", lambda batch: results.append(queue.flush(5)), linger=0)
    queue.put(1)
    assert queue.flush(5)
    assert results == [True]


def test_many_threads_lose_nothing() -> None:
    """Eight threads that put at once: each item arrives once."""
    got: list[int] = []
    queue = WorkQueue[int]("t", got.extend, linger=0.001, batch=64)
    threads = [threading.Thread(target=lambda k=k: [queue.put(k * 1000 + n) for n in range(1000)]) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.flush(5)
    assert sorted(got) == list(range(8000))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_empty_and_works(gate: threading.Event) -> None:
    """What waits at a fork is the parent's alone; the child's own items arrive in the child."""
    got: list[int] = []
    queue = WorkQueue[int]("t", got.extend, linger=30)
    queue.put(1)
    pid = os.fork()
    if pid == 0:
        try:
            queue.put(2)
            os._exit(0 if queue.flush(5) and got == [2] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert queue.flush(5)
    assert got == [1]


def void(_: object) -> None:
    return None
