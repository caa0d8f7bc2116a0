"""The ledger in a SQLite file: every process of a host counts in it, in one transaction over all budgets of a call.

Threads of a process take turns, and whoever has the turn does what the others are waiting for in the same transaction. A commit
writes no disk: a process that is killed loses nothing, a machine that loses power at most its last moments, never the file.
Checkpoints, which do write, are made off the call path.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from spectra_otel.budgets import owners
from spectra_otel.budgets.amounts import Amount
from spectra_otel.budgets.ledger import (
    LEASE_SECONDS,
    BucketState,
    Claim,
    Counted,
    Health,
    Lease,
    Refusal,
    Stored,
    Tally,
    WouldWait,
    crossed,
    is_over,
    refusals_of,
)  # fmt: skip
from spectra_otel.budgets.turnstile import Turnstile
from spectra_otel.errors import LedgerError
from spectra_otel.forks import in_forked_child

T = TypeVar("T")
Database = sqlite3.Connection
VERSION = 2
_WAIT_SECONDS = 5.0
_BATCH = 64
_SHARED_SECONDS = 0.5
"""How long an event loop stays away after somebody else wrote."""
_REMEMBER_SECONDS = 40 * 86400
"""How long a record that was counted is known, so that it is not counted twice."""
_SWEPT_SECONDS = 86400
_WAL_BYTES = 4 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (
    name TEXT PRIMARY KEY, definition TEXT NOT NULL, source TEXT NOT NULL, enabled INTEGER NOT NULL, configured TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
    budget TEXT NOT NULL, bucket TEXT NOT NULL, period TEXT NOT NULL, start INTEGER NOT NULL,
    settled_cost INTEGER NOT NULL DEFAULT 0, settled_tokens INTEGER NOT NULL DEFAULT 0,
    settled_requests INTEGER NOT NULL DEFAULT 0, reserved_cost INTEGER NOT NULL DEFAULT 0,
    reserved_tokens INTEGER NOT NULL DEFAULT 0, reserved_requests INTEGER NOT NULL DEFAULT 0,
    overshoot INTEGER NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0, blocked INTEGER NOT NULL DEFAULT 0,
    fired REAL NOT NULL DEFAULT 0, PRIMARY KEY (budget, bucket, period, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    id INTEGER PRIMARY KEY, claims TEXT NOT NULL, cost INTEGER NOT NULL, tokens INTEGER NOT NULL, requests INTEGER NOT NULL,
    floor_cost INTEGER NOT NULL, floor_tokens INTEGER NOT NULL, floor_requests INTEGER NOT NULL,
    place TEXT NOT NULL, pid INTEGER NOT NULL, began TEXT NOT NULL, expires REAL NOT NULL, swept INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS counted (
    record TEXT PRIMARY KEY, at REAL NOT NULL, over TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
"""
_FROM_VERSION_1 = "ALTER TABLE counted ADD COLUMN over TEXT NOT NULL DEFAULT '[]';"
_KEY = "budget = ? AND bucket = ? AND period = ? AND start = ?"
_READ = (
    "SELECT settled_cost, settled_tokens, settled_requests, reserved_cost, reserved_tokens, reserved_requests "
    f"FROM counters WHERE {_KEY}"
)
_RESERVE = (
    "INSERT INTO counters (budget, bucket, period, start, reserved_cost, reserved_tokens, reserved_requests) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET reserved_cost = reserved_cost + excluded.reserved_cost, "
    "reserved_tokens = reserved_tokens + excluded.reserved_tokens, "
    "reserved_requests = reserved_requests + excluded.reserved_requests"
)
_LEASE = (
    "INSERT INTO leases (id, claims, cost, tokens, requests, floor_cost, floor_tokens, floor_requests, place, pid, began, "
    "expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SETTLE = (
    "INSERT INTO counters (budget, bucket, period, start, settled_cost, settled_tokens, settled_requests, reserved_cost, "
    "reserved_tokens, reserved_requests, overshoot, unpriced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET settled_cost = settled_cost + excluded.settled_cost, "
    "settled_tokens = settled_tokens + excluded.settled_tokens, "
    "settled_requests = settled_requests + excluded.settled_requests, "
    "reserved_cost = reserved_cost + excluded.reserved_cost, reserved_tokens = reserved_tokens + excluded.reserved_tokens, "
    "reserved_requests = reserved_requests + excluded.reserved_requests, overshoot = overshoot + excluded.overshoot, "
    "unpriced = unpriced + excluded.unpriced RETURNING settled_cost, settled_tokens, settled_requests, reserved_cost, "
    "reserved_tokens, reserved_requests, fired"
)
_STATE = (
    "budget, bucket, period, start, settled_cost, settled_tokens, settled_requests, reserved_cost, reserved_tokens, "
    "reserved_requests, overshoot, unpriced, blocked, fired"
)


class _Job:
    """What a thread wants done in the next transaction. Who waits for it waits for ``turn``: it is done then, or has the lead."""

    __slots__ = ("call", "error", "is_done", "result", "turn")

    def __init__(self, call: Callable[[Database], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.turn = threading.Lock()


class SqliteLedger:
    """A ledger in the file ``path``. Safe between threads, processes and forks. Raises :class:`LedgerError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self._wal = f"{path}-wal"
        self._parents: list[Any] = []
        self._turnstile: Turnstile | None = None
        self._database: Database | None = None
        self._reset()
        in_forked_child(self._reset)

    # -- calls -----------------------------------------------------------------------------------------------------

    def reserve(
        self, claims: Sequence[Claim], bound: Amount, floor: Amount, *, wait: bool = True
    ) -> Lease | list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        sweeps = self._sweep_is_due()
        found: Lease | list[Refusal] = self._run(lambda db: self._reserve(db, claims, bound, floor, not sweeps), wait)
        if isinstance(found, Lease) or not sweeps:
            return found
        if not wait:  # there may be thousands of leases to look at
            raise WouldWait
        self._swept_at = time.monotonic()
        self._run(_sweep)
        final: Lease | list[Refusal] = self._run(lambda db: self._reserve(db, claims, bound, floor, True))
        return final

    def extend(self, lease: Lease, more: Amount, *, wait: bool = True) -> list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        refused: list[Refusal] = self._run(lambda db: _extend(db, lease, more), wait)
        if not refused:
            lease.bound = Amount(*(a + b for a, b in zip(lease.bound, more, strict=True)))
        return refused

    def settle(self, lease: Lease, actual: Amount, *, unpriced: int = 0, wait: bool = True) -> list[Counted]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        counted: list[Counted] = self._run(lambda db: _settle(db, lease, actual, unpriced), wait)
        return counted

    def count(
        self, record: str, claims: Sequence[Claim], amount: Amount, *, unpriced: int = 0, wait: bool = True
    ) -> Tally:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""

        def once(db: Database) -> Tally:
            known = db.execute("SELECT over FROM counted WHERE record = ?", (record,)).fetchall()
            if known:
                return Tally((), tuple(json.loads(known[0][0])))
            counted = [_add(db, claim, amount, Amount(), 0, unpriced) for claim in claims]
            over = tuple(one.claim.budget for one in counted if is_over(one.claim.limit, one.settled))
            db.execute("INSERT INTO counted VALUES (?, ?, ?)", (record, time.time(), json.dumps(over)))
            return Tally(counted, over)

        tally: Tally = self._run(once, wait)
        return tally

    def correct(self, claims: Sequence[Claim], difference: Amount) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        self._run(lambda db: [_add(db, claim, difference, Amount(), 0, 0) for claim in claims])

    def renew(self, leases: Sequence[int]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        expires = time.time() + LEASE_SECONDS
        self._run(
            lambda db: db.executemany("UPDATE leases SET expires = ? WHERE id = ?", [(expires, id_) for id_ in leases])
        )

    def sweep(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        swept: int = self._run(_sweep)
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
            _raise_revision(db)

        self._run(define)

    def remove(self, name: str) -> bool:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""

        def remove(db: Database) -> bool:
            found = db.execute("DELETE FROM budgets WHERE name = ?", (name,)).rowcount
            db.execute("DELETE FROM counters WHERE budget = ?", (name,))
            _raise_revision(db)
            return bool(found)

        return bool(self._run(remove))

    def states(self, budget: str | None = None) -> list[BucketState]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        where, values = ("", ()) if budget is None else ("WHERE budget = ?", (budget,))
        rows = self._read(f"SELECT {_STATE} FROM counters {where} ORDER BY budget, bucket, start", values)
        return [_state(*row) for row in rows]

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
        dead = sum(_is_over(*row) for row in rows)
        [(overshoot,)] = self._read("SELECT coalesce(sum(overshoot), 0) FROM counters")
        [(budgets,)] = self._read("SELECT count(*) FROM budgets")
        return Health(self.url, len(rows), dead, overshoot, budgets)

    def checkpoint(self) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`. Bounds the write-ahead log and what is remembered."""
        try:
            if os.stat(self._wal).st_size < _WAL_BYTES:
                return
        except OSError:
            return
        now = time.time()
        self._run(lambda db: db.execute("DELETE FROM counted WHERE at < ?", (now - _REMEMBER_SECONDS,)))
        self._run(lambda db: db.execute("DELETE FROM leases WHERE swept AND expires < ?", (now - _SWEPT_SECONDS,)))
        try:
            database = _connect(self.path)
            try:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                database.close()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    # -- turns -------------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        # What was open is a parent's: SQLite forbids to use it here, and to close it would let go of the parent's locks.
        if self._database is not None:
            self._parents.append(self._database)
        if self._turnstile is not None:
            self._turnstile.close()
        self._database = None
        self._turnstile = None
        self._agree = threading.Lock()
        self._is_led = False
        self._jobs: deque[_Job] = deque()
        self._swept_at = 0.0
        self._left: tuple[int, int] | None = None
        self._shared_until = 0.0

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
        if not leads:
            self._wait_for_turn(job)
        if not job.is_done:
            try:
                self._lead(job, wait)
            finally:
                self._hand_over()
        if job.error is not None:
            raise job.error
        return job.result

    def _wait_for_turn(self, job: _Job) -> None:
        try:
            job.turn.acquire()
        except BaseException:  # a signal's handler raised: the lead must not be left with somebody who is gone
            with self._agree:
                waits = job in self._jobs
                if waits:
                    self._jobs.remove(job)
            if not waits:
                job.turn.acquire()
                if not job.is_done:
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
        """The next one that waits leads."""
        with self._agree:
            if self._jobs:
                self._jobs.popleft().turn.release()
            else:
                self._is_led = False

    def _lead(self, mine: _Job, wait: bool) -> None:
        jobs = [mine]
        try:
            database, turnstile = self._open()
            if not turnstile.enter(wait):
                raise WouldWait
            try:
                with self._agree:
                    while wait and self._jobs and len(jobs) < _BATCH:
                        jobs.append(self._jobs.popleft())
                _transact(database, jobs, wait)
                if self._left is not None:
                    self._left = self._log()
            finally:
                turnstile.leave()
        except (sqlite3.Error, OSError) as error:
            _fail(jobs, self._problem(error))
        except (LedgerError, WouldWait) as error:
            _fail(jobs, error)
        except BaseException as error:  # raised by a signal's handler, say: what the others wanted was not done
            _fail(jobs[1:], self._problem(error))
            raise
        finally:
            for job in jobs[1:]:
                job.is_done = True
                job.turn.release()

    def _open(self) -> tuple[Database, Turnstile]:
        if self._database is None or self._turnstile is None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                turnstile = Turnstile(self.path.with_name(self.path.name + "-turn"))
                turnstile.enter(True)
                try:
                    self._database = _prepare(self.path)
                finally:
                    turnstile.leave()
                self._turnstile = turnstile
            except (sqlite3.Error, OSError) as error:
                raise self._problem(error) from error
        return self._database, self._turnstile

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        rows: list[Any] = self._run(lambda db: db.execute(sql, values).fetchall())
        return rows

    def _problem(self, error: BaseException) -> LedgerError:
        return LedgerError(f"the ledger of budgets {self.path} cannot be used: {str(error) or type(error).__name__}")

    def _sweep_is_due(self) -> bool:
        """Dead holders are looked for before a call is refused, at most four times a second."""
        return time.monotonic() - self._swept_at >= 0.25

    def _reserve(
        self, db: Database, claims: Sequence[Claim], bound: Amount, floor: Amount, is_final: bool
    ) -> Lease | list[Refusal]:
        refused, exceeded = _look(db, claims, bound, is_final)
        if refused:
            return refused
        for claim in claims:
            db.execute(_RESERVE, (*claim.key, *bound))
        lease = Lease(int.from_bytes(os.urandom(8)) >> 2, claims, bound, floor, exceeded)
        keys = json.dumps([claim.key for claim in claims])
        db.execute(_LEASE, (lease.id, keys, *bound, *floor, *owners.me(), time.time() + LEASE_SECONDS))
        return lease


def _transact(database: Database, jobs: list[_Job], wait: bool) -> None:
    """One transaction for all jobs: each of them decides before it writes, so none has to be undone alone."""
    try:
        database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not wait and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise WouldWait from None
        raise
    try:
        for job in jobs:
            job.result = job.call(database)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    jobs[0].is_done = True


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error


def _connect(path: Path) -> Database:
    database = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    return database


def _prepare(path: Path) -> Database:
    is_new = not path.exists()
    database = _connect(path)
    if is_new:
        os.chmod(path, 0o600)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    [(version,)] = database.execute("PRAGMA user_version").fetchall()
    if version > VERSION:
        database.close()
        raise LedgerError(
            f"the ledger of budgets {path} was written by a newer version of Spectra: its version is {version}"
        )
    if version < VERSION:
        change = _FROM_VERSION_1 if version == 1 else _SCHEMA
        database.executescript(f"BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;")
    return database


def _look(
    db: Database, claims: Sequence[Claim], wanted: Amount, is_final: bool = True
) -> tuple[list[Refusal], list[Refusal]]:
    """Where ``wanted`` has no room: in hard claims, and in soft ones. What is final is counted on its bucket."""
    refused: list[Refusal] = []
    exceeded: list[Refusal] = []
    for claim in claims:
        rows = db.execute(_READ, claim.key).fetchall()
        row = rows[0] if rows else (0, 0, 0, 0, 0, 0)
        found = refusals_of(claim, Amount(*row[:3]), Amount(*row[3:]), wanted)
        (refused if claim.is_hard else exceeded).extend(found[:1])
    for place in (refused if is_final else [], exceeded if not refused else []):
        for index, refusal in enumerate(place):
            blocked = db.execute(
                "INSERT INTO counters (budget, bucket, period, start, blocked) VALUES (?, ?, ?, ?, 1) "
                "ON CONFLICT DO UPDATE SET blocked = blocked + 1 RETURNING blocked",
                refusal.claim.key,
            ).fetchall()
            place[index] = refusal._replace(is_first=blocked[0][0] == 1)
    return refused, exceeded


def _extend(db: Database, lease: Lease, more: Amount) -> list[Refusal]:
    refused, _ = _look(db, lease.claims, more)
    if refused:
        return refused
    held = db.execute(
        "UPDATE leases SET cost = cost + ?, tokens = tokens + ?, requests = requests + ?, expires = ? "
        "WHERE id = ? AND swept = 0",
        (*more, time.time() + LEASE_SECONDS, lease.id),
    )
    if held.rowcount:  # one that is settled or swept by now has nothing to add to
        for claim in lease.claims:
            db.execute(_RESERVE, (*claim.key, *more))
    return []


def _settle(db: Database, lease: Lease, actual: Amount, unpriced: int) -> list[Counted]:
    rows = db.execute(
        "DELETE FROM leases WHERE id = ? RETURNING swept, cost, tokens, requests, floor_cost, floor_tokens, floor_requests",
        (lease.id,),
    ).fetchall()
    if not rows:
        return []
    swept, *amounts = rows[0]
    bound, floor = Amount(*amounts[:3]), Amount(*amounts[3:])
    overshoot = max(0, actual.cost - bound.cost)
    if swept:  # its floor is settled already, and nothing is reserved any more
        actual, bound = Amount(*(a - f for a, f in zip(actual, floor, strict=True))), Amount()
    back = Amount(*(-amount for amount in bound))
    return [_add(db, claim, actual, back, overshoot, unpriced) for claim in lease.claims]


def _add(db: Database, claim: Claim, settled: Amount, reserved: Amount, overshoot: int, unpriced: int) -> Counted:
    [row] = db.execute(_SETTLE, (*claim.key, *settled, *reserved, overshoot, unpriced)).fetchall()
    counted = Counted(claim, Amount(*row[:3]), Amount(*row[3:6]))
    fired = crossed(claim, counted.settled, row[6])
    if fired:
        db.execute(f"UPDATE counters SET fired = ? WHERE {_KEY}", (fired[-1], *claim.key))
    return counted._replace(fired=fired)


def _is_over(place: str, pid: int, began: str, expires: float) -> bool:
    return expires < time.time() or owners.is_dead(place, pid, began)


def _sweep(db: Database) -> int:
    """Dead leases give back what they reserved, less their floor; they are kept a day, for a late word from their process."""
    verdicts: dict[tuple[str, int, str], bool] = {}
    swept = 0
    now = time.time()
    rows = db.execute(
        "SELECT place, pid, began, expires, id, claims, cost, tokens, requests, floor_cost, floor_tokens, floor_requests "
        "FROM leases WHERE swept = 0"
    ).fetchall()
    for row in rows:
        owner = row[:3]
        if owner not in verdicts:
            verdicts[owner] = owners.is_dead(*owner)
        if not verdicts[owner] and row[3] >= now:
            continue
        for key in json.loads(row[5]):
            back = (-amount for amount in row[6:9])
            db.execute(_SETTLE, (*key, *row[9:12], *back, 0, 0)).fetchall()
        db.execute("UPDATE leases SET swept = 1 WHERE id = ?", (row[4],))
        swept += 1
    return swept


def _state(budget: str, bucket: str, period: str, start: int, *rest: Any) -> BucketState:
    overshoot, unpriced, blocked, fired = rest[6:]
    return BucketState(
        budget, bucket, period, start, Amount(*rest[:3]), Amount(*rest[3:6]), overshoot, unpriced, blocked, fired
    )


def _raise_revision(db: Database) -> None:
    db.execute("INSERT INTO meta VALUES ('revision', 1) ON CONFLICT DO UPDATE SET value = value + 1")
