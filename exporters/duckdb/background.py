"""The app's own merge: a thread that imports duckdb when there is something to merge, and never lives across a fork."""

from __future__ import annotations

import atexit
import logging
import os
import random
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from spectra_otel.errors import SpectraError
from spectra_otel.exporters.duckdb.spool import Spool
from spectra_otel.forks import take

if TYPE_CHECKING:
    from spectra_otel.exporters.duckdb.merge import Merger
    from spectra_otel.model.store import Price, Prices

FIRST_SECONDS = 2.0
"""A script that is over by then never pays for importing duckdb; the next ``spectra`` command merges its records."""

_EVERY_SECONDS = 1.0
_AGAIN_SECONDS = 2.0
"""Until prices are learnt after all from a file that was in use: an app may record nothing for hours."""
_JOIN_SECONDS = 10.0
_GRACE_SECONDS = 0.005
"""Who comes a moment too early has come in vain."""

_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The thread is to stop."""


class _WhileRunning:
    """Prices until the thread is to stop: an app that ends does not wait until a million records are priced."""

    def __init__(self, prices: Prices, stopped: Event) -> None:
        self._prices = prices
        self._stopped = stopped

    @property
    def version(self) -> str:
        return self._prices.version

    def price(self, row: Mapping[str, Any]) -> Price | None:
        if self._stopped.is_set():
            raise _StoppedError
        return self._prices.price(row)


class BackgroundMerge:
    """Merges the spool of one database while there is something in it.

    The thread starts with the first :meth:`wake` of a process and ends with :meth:`stop`, or at exit. A fork waits for a merge in
    progress, because neither an open database nor a held lock may be inherited; the child begins anew with its first record.
    """

    def __init__(self, database: Path, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self._prices: Prices | None = None
        self._begin_process()
        _everyone.add(self)

    def learn_from(self, prices: Prices) -> None:
        """Have records that have no cost priced at ``prices``, once, after the first merge of each process."""
        self._prices = prices

    def _begin_process(self) -> None:
        self._pid = os.getpid()
        self._lock = Lock()
        self.merging = Lock()
        self._pending = Event()
        self._stopped, self._ended = Event(), Event()
        self._thread: Thread | None = None
        self._complaint = ""
        self._is_started = False

    def start(self) -> None:
        """Load duckdb now, and merge what an earlier process left: for a host whose work is to store.

        Loading it takes a tenth of a second of Python's lock, which later would be taken from those who wait for an answer.
        """
        with self.merging:
            for name in ("merge", "reprice"):
                import_module(f"spectra_otel.exporters.duckdb.{name}")
        self._is_started = True
        self.wake()

    def wake(self) -> None:
        """Say that there is something to merge. Costs a microsecond; the thread is started if need be."""
        if self._pid != os.getpid():
            self._begin_process()
        self._pending.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopped.is_set():
                    thread = Thread(target=self._run, name="spectra-merge", daemon=True)
                    with suppress(RuntimeError):  # at the end of the interpreter; the next process merges
                        thread.start()
                        self._thread = thread

    def stop(self) -> None:
        """End the thread, after the merge in progress."""
        self._stopped.set()
        self._pending.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid() and thread.is_alive():
            _wait(self._ended, _JOIN_SECONDS)

    def _run(self) -> None:
        try:
            if not self._stopped.wait(0.0 if self._is_started else FIRST_SECONDS):
                self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        with self.merging:  # a fork waits for it: a child must not inherit a module that is half imported
            from spectra_otel.exporters.duckdb.merge import Merger

        merger = Merger(self._database, self._spool)
        is_learnt = self._prices is None
        while not self._stopped.is_set():
            self._pending.wait(None if is_learnt else _AGAIN_SECONDS)
            self._pending.clear()
            while not self._stopped.is_set() and self._is_waiting():
                self._merge_once(merger)
                self._stopped.wait(_pause(merger))
            is_learnt = is_learnt or self._learn()

    def _is_waiting(self) -> bool:
        try:
            return bool(self._spool.sealed())
        except SpectraError as error:
            self._complain(str(error), False)
            return False

    def _learn(self) -> bool:
        """Price what has no cost, if this process knows more than the store has seen; False where that cannot be done yet."""
        if not self._database.exists():
            return False
        with self.merging:
            from spectra_otel.exporters.duckdb import reprice

        assert self._prices is not None
        access = reprice.Access(self._database, self._spool, reprice.SHORT_PATIENCE, self.merging)
        try:
            reprice.learn(access, _WhileRunning(self._prices, self._stopped))
        except _StoppedError:
            return False
        except SpectraError as error:
            self._complain(str(error), error.transient)
            return not error.transient
        except Exception as error:
            self._complain(f"{type(error).__name__}: {error}", False)
        return True

    def _merge_once(self, merger: Merger) -> None:
        try:
            with self.merging:
                merger.merge_politely()
            self._complaint = ""
        except SpectraError as error:
            self._complain(str(error), error.transient)
        except Exception as error:
            self._complain(f"{type(error).__name__}: {error}", False)

    def _complain(self, text: str, transient: bool) -> None:
        """Say it once for as long as it lasts. A file in use is everyday life: `spectra doctor` names who holds it."""
        if text != self._complaint:
            self._complaint = text
            level = logging.DEBUG if transient else logging.WARNING
            _log.log(level, "duckdb: merge: %s; trying again", text.removeprefix("merge: "))


def _wait(ended: Event, seconds: float) -> None:
    """Wait so long, and raise a Ctrl-C that comes meanwhile only then.

    A thread that is within DuckDB when the interpreter ends would make an abort of it.
    """
    deadline = time.monotonic() + seconds
    interruption: KeyboardInterrupt | None = None
    while not ended.is_set() and (left := deadline - time.monotonic()) > 0:
        try:
            ended.wait(left)
        except KeyboardInterrupt as error:
            interruption = error
    if interruption is not None:
        raise interruption


def _pause(merger: Merger) -> float:
    """Seconds until the next merge: a little at random, so that eight processes do not knock at the same moment.

    One that is behind comes as soon as it may; the others do not compete with it.
    """
    if merger.is_behind:
        return max(merger.due(), 0.0) + _GRACE_SECONDS
    return max(merger.wait(), _EVERY_SECONDS) * random.uniform(1.0, 1.4)


_everyone: weakref.WeakSet[BackgroundMerge] = weakref.WeakSet()
_held: list[Lock] = []


def _before_fork() -> None:
    for merge in list(_everyone):
        if take(merge.merging):
            _held.append(merge.merging)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


def _stop_all() -> None:
    for merge in list(_everyone):
        merge.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
atexit.register(_stop_all)
