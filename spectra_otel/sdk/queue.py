"""A bounded queue with one worker thread: what leaves the call path goes through here.

The worker starts with the first item, so that an app which makes no call has no thread. It lingers a moment for company
(``linger`` seconds after the first item), then gives everything that waits to ``sink`` in batches. A fork gives the child an
empty queue and no worker: what was waiting is the parent's to deliver, once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from spectra_otel import faults
from spectra_otel.forks import in_forked_child

T = TypeVar("T")


class WorkQueue(Generic[T]):
    """Items in, batches out, on a daemon thread of its own.

    ``sink`` gets each batch (at most ``batch`` items) and may raise: that is reported and the next batch follows. At most
    ``limit`` items wait; one more is dropped, counted in ``dropped`` and said once. ``on_worker`` is called when a process
    starts its worker.
    """

    def __init__(
        self,
        name: str,
        sink: Callable[[Sequence[T]], None],
        *,
        limit: int = 20_000,
        batch: int = 512,
        linger: float = 0.2,
        on_worker: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.limit = limit
        self.dropped = 0
        self._sink = sink
        self._on_worker = on_worker
        self._batch = batch
        self._linger = linger
        self._reset()
        in_forked_child(self._reset)

    def _reset(self) -> None:
        self._items: deque[T] = deque()
        # An RLock inside: a signal handler may flush while its thread is in put().
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None
        self._hurry = False
        self._put = 0
        self._done = 0

    def put(self, item: T) -> bool:
        """Hand an item over; False where the queue is full and the item was dropped. Never blocks on I/O."""
        with self._changed:
            if len(self._items) >= self.limit:
                self.dropped += 1
                full = True
            else:
                full = False
                self._items.append(item)
                self._put += 1
                if len(self._items) in (1, self._batch):
                    self._changed.notify_all()
                if self._worker is None:
                    self._start()
        if full:
            faults.report(f"queue {self.name}", f"{self.limit} items wait, new ones are dropped")
        return not full

    def flush(self, timeout: float = 30.0) -> bool:
        """Return when all that was put before has left the sink, or False after ``timeout`` seconds.

        The worker does it; where there is none any more (the interpreter is going down), the calling thread does. Called by
        the sink itself it returns at once.
        """
        worker = self._worker
        if worker is threading.current_thread():
            return True
        deadline = time.monotonic() + timeout
        with self._changed:
            goal = self._put
            while self._done < goal:
                if self._worker is None or not self._worker.is_alive():
                    break
                self._hurry = True
                self._changed.notify_all()
                # A worker that the interpreter froze never answers: look again every second.
                if (
                    not self._changed.wait(min(1.0, max(0.0, deadline - time.monotonic())))
                    and time.monotonic() >= deadline
                ):
                    return self._done >= goal
            else:
                return True
        self._drain()
        return True

    @property
    def waiting(self) -> int:
        """Items that have not left the sink."""
        return self._put - self._done

    def _start(self) -> None:
        worker = threading.Thread(target=self._run, name=f"spectra-{self.name}", daemon=True)
        self._worker = worker
        try:
            if self._on_worker is not None:
                self._on_worker()
            worker.start()
        except RuntimeError:  # no new threads while the interpreter goes down: flush() drains on its own thread
            self._worker = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._items:
                    self._hurry = False
                    self._changed.wait()
                if not self._hurry and len(self._items) < self._batch:
                    self._wait_for_company()
            self._drain()

    def _wait_for_company(self) -> None:
        deadline = time.monotonic() + self._linger
        while not self._hurry and len(self._items) < self._batch:
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                return

    def _drain(self) -> None:
        """Give all that waits to the sink, in batches, outside the lock."""
        while True:
            with self._changed:
                batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
            if not batch:
                return
            try:
                self._sink(batch)
            except Exception as error:
                faults.report(f"queue {self.name}", error)
            finally:
                with self._changed:
                    self._done += len(batch)
                    self._changed.notify_all()
