"""The ledger in a SQLite file: every process of a host counts in it, in one transaction over all budgets of a call.

Threads of a process take turns, and whoever has the turn does what the others are waiting for in the same transaction. A commit
writes no disk: a process that is killed loses nothing, a machine that loses power at most its last moments, never the file.
Checkpoints, which do write, are made off the call path.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from spectra_otel.budgets import sqlite_tables as tables
from spectra_otel.budgets.amounts import Amount
from spectra_otel.budgets.ledger import (
    LEASE_SECONDS,
    BucketState,
    Claim,
    Counted,
    Health,
    Key,
    Lease,
    Refusal,
    Stored,
    Tally,
    WouldWait,
    pause_after,
)  # fmt: skip
from spectra_otel.budgets.sqlite_tables import Database
from spectra_otel.budgets.turnstile import Turnstile
from spectra_otel.errors import LedgerError
from spectra_otel.forks import around_fork, in_forked_child, take

T = TypeVar("T")
_BATCH = 64
_SHARED_SECONDS = 0.5
"""How long an event loop stays away after somebody else wrote."""
_TIDY_SECONDS = 3600
_AT_ONCE = 500
_WAL_BYTES = 4 << 20
_MOST_WAL_BYTES = 64 << 20
_FORK_SECONDS = 1.0
"""How long a fork waits for a transaction under way."""
_LOOK_SECONDS = 1.0
"""How soon it is seen that the file was deleted, or that whoever had the lead is gone."""


class _Job:
    """What a thread wants done in the next transaction. Who waits for it waits for ``turn``: it is done then, or may lead.

    Whoever takes it out of the queue does it. A signal's handler may raise between any two steps of the main thread, so it
    can be that nobody does, and nobody leads: who waits looks from time to time.
    """

    __slots__ = ("call", "error", "is_done", "result", "turn")

    def __init__(self, call: Callable[[Database], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.turn = threading.Lock()


_GONE = RuntimeError("who was to count the call was interrupted")


class SqliteLedger:
    """A ledger in the file ``path``. Safe between threads, processes and forks. Raises :class:`LedgerError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.identity = ""
        self._wal = f"{path}-wal"
        self._parents: list[Any] = []
        self._turnstile: Turnstile | None = None
        self._database: Database | None = None
        self._tidy_at = 0.0
        self._reset()
        around_fork(self._before_fork, self._after_fork)
        in_forked_child(self._reset)

    # -- calls -----------------------------------------------------------------------------------------------------

    def reserve(
        self, claims: Sequence[Claim], bound: Amount, floor: Amount, *, wait: bool = True
    ) -> Lease | list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        sweeps = self._sweep_is_due()
        found: Lease | list[Refusal] = self._run(lambda db: tables.reserve(db, claims, bound, floor, not sweeps), wait)
        if isinstance(found, Lease) or not sweeps:
            return found
        if not wait:  # there may be thousands of leases to look at
            raise WouldWait
        begin = time.monotonic()
        self._run(tables.sweep)
        self._sweep_at = pause_after(begin)
        final: Lease | list[Refusal] = self._run(lambda db: tables.reserve(db, claims, bound, floor, True))
        return final

    def extend(self, lease: Lease, more: Amount, *, wait: bool = True) -> list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        refused: list[Refusal] = self._run(lambda db: tables.extend(db, lease, more), wait)
        if not refused:
            lease.bound = Amount(*(a + b for a, b in zip(lease.bound, more, strict=True)))
        return refused

    def settle(
        self, lease: Lease, actual: Amount, *, unpriced: int = 0, record: str = "", wait: bool = True
    ) -> list[Counted]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        counted: list[Counted] = self._run(lambda db: tables.settle(db, lease, actual, unpriced, record), wait)
        return counted

    def count(
        self,
        record: str,
        claims: Sequence[Claim],
        amount: Amount,
        *,
        unpriced: int = 0,
        rev: int = 0,
        wait: bool = True,
    ) -> Tally:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        tally: Tally = self._run(lambda db: tables.count(db, record, claims, amount, unpriced, rev), wait)
        return tally

    def correct(self, claims: Sequence[Claim], difference: Amount, *, unpriced: int = 0) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        self._run(lambda db: [tables.add(db, claim, difference, Amount(), 0, unpriced) for claim in claims])

    def renew(self, leases: Sequence[int]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        expires = time.time() + LEASE_SECONDS
        self._run(
            lambda db: db.executemany("UPDATE leases SET expires = ? WHERE id = ?", [(expires, id_) for id_ in leases])
        )

    def sweep(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        swept: int = self._run(tables.sweep)
        return swept

    # -- definitions and people --------------------------------------------------------------------------------------

    def revision(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        rows = self._read("SELECT value FROM meta WHERE key = 'revision'")
        return int(rows[0][0]) if rows else 0

    def definitions(self) -> list[Stored]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        rows = self._read("SELECT name, definition, source, enabled, configured FROM budgets ORDER BY name")
        return [Stored(name, text, source, bool(on), configured) for name, text, source, on, configured in rows]

    def define(self, stored: Stored) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        row = (stored.name, stored.definition, stored.source, int(stored.enabled), stored.configured)

        def define(db: Database) -> None:
            db.execute("INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, ?)", row)
            tables.raise_revision(db)

        self._run(define)

    def remove(self, name: str) -> bool:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        return bool(self._run(lambda db: tables.remove(db, name)))

    def states(self, budget: str | None = None) -> list[BucketState]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        where, values = ("", ()) if budget is None else ("WHERE budget = ?", (budget,))
        rows = self._read(f"SELECT {tables.STATE} FROM counters {where} ORDER BY budget, bucket, start", values)
        return [tables.state(*row) for row in rows]

    def state(self, key: Key) -> BucketState:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        rows = self._read(f"SELECT {tables.STATE} FROM counters WHERE {tables.KEY}", key)
        return tables.state(*rows[0]) if rows else BucketState(*key)

    def replace(self, states: Sequence[BucketState]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        rows = [(s.budget, s.bucket, s.period, s.start, *s.settled, s.unpriced) for s in states]
        self._run(
            lambda db: db.executemany(
                "INSERT INTO counters (budget, bucket, period, start, settled_cost, settled_tokens, settled_requests, "
                "unpriced) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET settled_cost = excluded.settled_cost, "
                "settled_tokens = excluded.settled_tokens, "
                "settled_requests = excluded.settled_requests, unpriced = excluded.unpriced",
                rows,
            )
        )

    def health(self) -> Health:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        rows = self._read("SELECT place, pid, began, expires FROM leases WHERE swept = 0")
        dead = sum(tables.is_dead_lease(*row) for row in rows)
        [(overshoot,)] = self._read("SELECT coalesce(sum(overshoot), 0) FROM counters")
        [(budgets,)] = self._read("SELECT count(*) FROM budgets")
        return Health(self.url, len(rows), dead, overshoot, budgets)

    def checkpoint(self) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`. Bounds the write-ahead log, and what is remembered."""
        try:
            self._forget_what_is_past()
            size = os.stat(self._wal).st_size
            if size >= _WAL_BYTES:
                self._beside(lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())
            if size >= _MOST_WAL_BYTES:  # without a pause between writers it never begins anew by itself
                self._beside(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        except FileNotFoundError:
            return
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _forget_what_is_past(self) -> None:
        """Once an hour; found without keeping others from writing, deleted in small steps."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        past = self._beside(tables.past)
        for begin in range(0, len(past), _AT_ONCE):
            self._run(partial(tables.forget, some=past[begin : begin + _AT_ONCE]))

    def _beside(self, call: Callable[[Database], T]) -> T:
        """Do something on a connection of its own, in nobody's way."""
        with self._tidies:
            os.stat(self.path)  # to open it would make it
            database = tables.connect(self.path)
            try:
                return call(database)
            finally:
                database.close()

    # -- turns -------------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        if self._database is not None:  # a parent's: SQLite forbids to use it here, and to close it
            self._parents.append(self._database)
        if self._turnstile is not None:
            self._turnstile.abandon()
        self._database = None
        self._file: tuple[int, int] | None = None
        self._look_at = 0.0
        self._turnstile = None
        self._agree = threading.Lock()
        self._uses, self._tidies = threading.Lock(), threading.Lock()
        self._is_forking = False, False
        self._is_led = False
        self._jobs: deque[_Job] = deque()
        self._sweep_at = 0.0
        self._left: tuple[int, int] | None = None
        self._shared_until = 0.0

    def _before_fork(self) -> None:
        """Let go of the file: a child inherits what SQLite knows of open files and held locks, and waits for them for ever."""
        uses, tidies = (take(lock, _FORK_SECONDS) for lock in (self._uses, self._tidies))
        if uses and self._database is not None:
            self._database.close()
            self._database = None
        self._is_forking = uses, tidies

    def _after_fork(self) -> None:
        for lock, is_mine in zip((self._uses, self._tidies), self._is_forking, strict=True):
            if is_mine:
                lock.release()

    def close(self) -> None:
        """Let go of the file. Nobody may be calling."""
        if self._database is not None:
            self._database.close()
        if self._turnstile is not None:
            self._turnstile.close()
        self._database = self._turnstile = None

    def _run(self, call: Callable[[Database], Any], wait: bool = True) -> Any:
        """Have ``call`` done in a transaction, with what other threads wait for."""
        if not wait and self._is_shared():
            raise WouldWait
        job = _Job(call)
        with self._agree:
            leads = not self._is_led
            if not (leads or wait):
                raise WouldWait
            self._is_led = True
            if not leads:
                job.turn.acquire()
                self._jobs.append(job)
        if leads or self._wait_for_turn(job):
            try:
                self._lead(job, wait)
            finally:
                self._hand_over()
        if job.error is not None:
            raise job.error
        return job.result

    def _wait_for_turn(self, job: _Job) -> bool:
        """Wait until somebody has done it; True where it is for this thread to lead."""
        try:
            while True:
                is_woken = job.turn.acquire(timeout=_LOOK_SECONDS)
                if job.is_done:
                    return False
                with self._agree:
                    waits = job in self._jobs
                    nobody_leads = not self._uses.locked()
                    if waits and (is_woken or nobody_leads):
                        self._jobs.remove(job)
                        return True
                if not waits and nobody_leads and not job.is_done:
                    raise self._problem(_GONE)
        except BaseException:  # the lead must not be left with somebody who is gone
            with self._agree:
                if job in self._jobs:
                    self._jobs.remove(job)
            self._hand_over()
            raise

    def _is_shared(self) -> bool:
        """Whether somebody else may have written since this process did, or did a moment ago: an event loop then stays away.

        A try that waits for nobody still is work, whose pages others have just changed, on processors that they want.
        """
        now = time.monotonic()
        if self._left is None or self._database is None:
            self._left = self._left or (0, 0)  # only who is asked without waiting has to watch
            return True
        if now < self._shared_until:
            return True
        if self._log() == self._left:
            return False
        self._shared_until = now + _SHARED_SECONDS
        return True

    def _log(self) -> tuple[int, int]:
        try:
            found = os.stat(self._wal)
        except OSError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    def _hand_over(self) -> None:
        """The next one that waits leads. Two that lead are one too many, but no harm: they use the file in turn."""
        with self._agree:
            if not self._jobs:
                self._is_led = False
            elif self._jobs[0].turn.locked():
                self._jobs[0].turn.release()

    def _lead(self, mine: _Job, wait: bool) -> None:
        """Do ``mine`` and those that wait, when it is our turn among processes."""
        jobs = [mine]
        if not wait and self._uses.locked():  # the process forks
            raise WouldWait
        is_done = False
        with self._uses:
            try:
                self._take_turn(jobs, wait)
                is_done = True
            except (sqlite3.Error, OSError) as error:
                if tables.is_busy(error):  # those that wait behind these would find the same
                    self._gather(jobs, len(self._jobs))
                _fail(jobs, self._problem(error))
            except LedgerError as error:
                _fail(jobs, error)
            finally:
                for job in jobs[1:]:
                    if not is_done and job.error is None:
                        job.error = self._problem(_GONE)
                    job.is_done = True
                    if job.turn.locked():
                        job.turn.release()

    def _take_turn(self, jobs: list[_Job], wait: bool) -> None:
        if self._turnstile is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._turnstile = Turnstile(self.path.with_name(self.path.name + "-turn"))
        try:
            if not self._turnstile.enter(wait):
                raise WouldWait
            database = self._open(wait)
            if wait:
                self._gather(jobs, _BATCH - 1)
            _transact(database, jobs, wait)
            if self._left is not None:
                self._left = self._log()
        finally:
            self._turnstile.leave()

    def _gather(self, jobs: list[_Job], most: int) -> None:
        with self._agree:
            while self._jobs and most > 0:
                jobs.append(self._jobs.popleft())
                most -= 1

    def _open(self, wait: bool) -> Database:
        if self._database is not None and self._is_gone():
            self._database.close()
            self._database = None
        if self._database is None:
            if not wait:
                raise WouldWait
            self._database, self.identity = tables.prepare(self.path)
            self._file = _file(self.path)
        return self._database

    def _is_gone(self) -> bool:
        """Whether the file is another than the one that is open: what is counted in a deleted one nobody else sees."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return _file(self.path) != self._file

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        rows: list[Any] = self._run(lambda db: db.execute(sql, values).fetchall())
        return rows

    def _problem(self, error: BaseException) -> LedgerError:
        what = str(error) or type(error).__name__
        if tables.is_busy(error):
            what = f"another process has been writing for {tables.WAIT_SECONDS:g} seconds, or is stopped ({what})"
        problem = LedgerError(f"the ledger of budgets {self.path} cannot be used: {what}")
        if isinstance(error, sqlite3.Error | OSError):  # and nobody was interrupted: it can be used by the next
            problem.__cause__ = error
        return problem

    def _sweep_is_due(self) -> bool:
        """Dead holders are looked for before a call is refused, at most four times a second."""
        return time.monotonic() >= self._sweep_at


def _transact(database: Database, jobs: list[_Job], wait: bool) -> None:
    """One transaction for all jobs: each of them decides before it writes, so none has to be undone alone."""
    if database.in_transaction:  # a signal's handler raised where nobody could take it back
        database.execute("ROLLBACK")
    try:
        tables.begin(database, wait)
        for job in jobs:
            job.result = job.call(database)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
