"""What the ledger in a SQLite file does within a transaction: its tables, and one function for each thing a ledger can do."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spectra_otel.budgets import owners
from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.ledger import (
    LEASE_SECONDS,
    REMEMBER_SECONDS,
    BucketState,
    Claim,
    Counted,
    Lease,
    Refusal,
    Tally,
    WouldWait,
    crossed,
    in_doubt,
    is_over,
    is_over_doubt,
    is_past,
    refusals_of,
)  # fmt: skip
from spectra_otel.budgets.windows import RUN
from spectra_otel.errors import LedgerError

Database = sqlite3.Connection
VERSION = 3
WAIT_SECONDS = 5.0
"""How long a transaction waits for those of others."""
_LONGEST_PAUSE = 0.02
_SWEPT_SECONDS = 86400
"""How long a lease that was swept is kept, for a late word from its process."""
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
    record TEXT PRIMARY KEY, at REAL NOT NULL, over TEXT NOT NULL DEFAULT '[]', keys TEXT NOT NULL DEFAULT '[]',
    rev INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
KEY = "budget = ? AND bucket = ? AND period = ? AND start = ?"
_READ = (
    "SELECT settled_cost, settled_tokens, settled_requests, reserved_cost, reserved_tokens, reserved_requests "
    f"FROM counters WHERE {KEY}"
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
_AT_LEAST_NOTHING = (
    "UPDATE counters SET settled_cost = max(0, settled_cost), settled_tokens = max(0, settled_tokens), "
    f"settled_requests = max(0, settled_requests) WHERE {KEY}"
)
STATE = (
    "budget, bucket, period, start, settled_cost, settled_tokens, settled_requests, reserved_cost, reserved_tokens, "
    "reserved_requests, overshoot, unpriced, blocked, fired"
)


def connect(path: Path, wait: float = WAIT_SECONDS) -> Database:
    """Open the file; each statement waits so many seconds for others."""
    database = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    return database


def prepare(path: Path) -> tuple[Database, str]:
    """Open the file with its tables as they are now; beside it the ledger's identity."""
    is_new = not path.exists()
    database = connect(path)
    if is_new:
        os.chmod(path, 0o600)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    if _version(database, path) < VERSION:
        database.execute("BEGIN IMMEDIATE")
        _bring_up(database, _version(database, path))
        database.execute("COMMIT")
    [(identity,)] = database.execute("SELECT value FROM meta WHERE key = 'identity'").fetchall()
    database.execute("PRAGMA busy_timeout = 0")  # begin() waits, and an event loop does not
    return database, f"{identity:x}"


def _version(database: Database, path: Path) -> int:
    [(version,)] = database.execute("PRAGMA user_version").fetchall()
    if version > VERSION:
        database.close()
        raise LedgerError(
            f"the ledger of budgets {path} was written by a newer version of Spectra: its version is {version}"
        )
    return int(version)


def _bring_up(database: Database, version: int) -> None:
    if version in (1, 2):  # a record that they counted is known, and not what it was counted with
        database.execute("ALTER TABLE counted RENAME TO counted_before")
    for statement in _SCHEMA.split(";"):
        database.execute(statement)
    if version in (1, 2):
        over = "over" if version == 2 else "'[]'"
        database.execute(f"INSERT INTO counted (record, at, over) SELECT record, at, {over} FROM counted_before")
        database.execute("DROP TABLE counted_before")
    identity = int.from_bytes(os.urandom(8)) >> 2
    database.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (identity,))
    database.execute(f"PRAGMA user_version = {VERSION}")


def begin(database: Database, wait: bool) -> None:
    """Start to write, as soon as nobody else does. Raises :class:`WouldWait` where that is not now and ``wait`` is false."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = 0.001
    while True:
        try:
            database.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if not wait:
                raise WouldWait from None
            if time.monotonic() >= deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def is_busy(error: BaseException) -> bool:
    """Whether somebody else has the file."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def reserve(
    db: Database, claims: Sequence[Claim], bound: Amount, floor: Amount, is_final: bool
) -> Lease | list[Refusal]:
    """A lease, or the hard claims without room."""
    refused, exceeded = _look(db, claims, bound, is_final)
    if refused:
        return refused
    for claim in claims:
        db.execute(_RESERVE, (*claim.key, *bound))
    lease = Lease(int.from_bytes(os.urandom(8)) >> 2, claims, bound, floor, exceeded)
    keys = json.dumps([claim.key for claim in claims])
    db.execute(_LEASE, (lease.id, keys, *bound, *floor, *owners.me(), time.time() + LEASE_SECONDS))
    return lease


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


def extend(db: Database, lease: Lease, more: Amount) -> list[Refusal]:
    """Add to a lease, or say where there is no room."""
    refused, _ = _look(db, lease.claims, more)
    if refused:
        return refused
    held = db.execute(
        "UPDATE leases SET cost = cost + ?, tokens = tokens + ?, requests = requests + ?, expires = ? "
        "WHERE id = ? AND swept = 0 RETURNING claims",
        (*more, time.time() + LEASE_SECONDS, lease.id),
    ).fetchall()
    for keys in held:  # one that is settled or swept by now has nothing to add to
        for claim in _still(lease.claims, *keys):
            db.execute(_RESERVE, (*claim.key, *more))
    return []


def settle(db: Database, lease: Lease, actual: Amount, unpriced: int, record: str) -> list[Counted]:
    """End a lease, and know what a ``record`` was counted with that may be revised."""
    rows = db.execute(
        "DELETE FROM leases WHERE id = ? "
        "RETURNING claims, swept, cost, tokens, requests, floor_cost, floor_tokens, floor_requests",
        (lease.id,),
    ).fetchall()
    if not rows:
        return []
    keys, swept, *amounts = rows[0]
    bound, floor = Amount(*amounts[:3]), Amount(*amounts[3:])
    overshoot = max(0, actual.cost - bound.cost)
    settled = actual
    if swept:  # its floor is settled already, and nothing is reserved any more
        settled, bound = _less(actual, floor), Amount()
    back = _less(Amount(), bound)
    counted = [add(db, claim, settled, back, overshoot, unpriced) for claim in _still(lease.claims, keys)]
    if record:
        _remember(db, record, [one.claim for one in counted], (), actual, unpriced)
    return counted


def _still(claims: Sequence[Claim], keys: str) -> list[Claim]:
    """Those of a lease's claims whose budgets were not removed since: one set anew under such a name has nothing of it."""
    held = {tuple(key) for key in json.loads(keys)}
    return [claim for claim in claims if claim.key in held]


def _less(one: Amount, other: Amount) -> Amount:
    return Amount(*(a - b for a, b in zip(one, other, strict=True)))


def count(db: Database, record: str, claims: Sequence[Claim], amount: Amount, unpriced: int, rev: int) -> Tally:
    """Count a record that was not counted before, or what a later revision of it changes."""
    rows = db.execute(
        "SELECT over, keys, rev, unpriced, cost, tokens, requests FROM counted WHERE record = ?", (record,)
    ).fetchall()
    if not rows and rev:  # a lease has counted it, or it is not of here
        return Tally()
    if not rows:
        counted = [add(db, claim, amount, Amount(), 0, unpriced) for claim in claims]
        over = _over(counted)
        _remember(db, record, claims, over, amount, unpriced)
        return Tally(counted, over)
    known, keys, before_rev, before_unpriced, *amounts = rows[0]
    over, before = tuple(json.loads(known)), Amount(*amounts)
    if not rev or rev < before_rev:
        return Tally((), over)
    if unpriced:  # what was set aside stays counted until its cost is known
        amount = Amount(before.cost, amount.tokens or before.tokens, amount.requests)
    change = _less(amount, before), unpriced - before_unpriced
    counted, held = _recount(db, json.loads(keys), claims, (amount, unpriced), change)
    over = tuple(dict.fromkeys(over + _over(counted)))
    db.execute(
        "UPDATE counted SET over = ?, keys = ?, rev = ?, cost = ?, tokens = ?, requests = ?, unpriced = ? WHERE record = ?",
        (json.dumps(over), json.dumps(held), rev, *amount, unpriced, record),
    )
    return Tally(counted, over)


def _remember(
    db: Database, record: str, claims: Sequence[Claim], over: tuple[str, ...], amount: Amount, unpriced: int
) -> None:
    keys = json.dumps([claim.key for claim in claims])
    row = (record, time.time(), json.dumps(over), keys, 0, *amount, unpriced)
    db.execute("INSERT OR IGNORE INTO counted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _recount(
    db: Database,
    keys: list[list[Any]],
    claims: Sequence[Claim],
    whole: tuple[Amount, int],
    change: tuple[Amount, int],
) -> tuple[list[Counted], list[Any]]:
    """Change what budgets counted of a record; one whose bucket is another by now moves there."""
    now = {claim.budget: claim for claim in claims}
    counted: list[Counted] = []
    held: list[Any] = []
    for key in keys:
        claim = now.get(key[0])
        if claim is None and key[2] == RUN:  # nobody but the call itself says which run it is of
            claim = _unlimited(key)
        held.append(key if claim is None else claim.key)
        if claim is None:
            continue
        if tuple(key) == claim.key:
            amount, unpriced = change
        else:
            amount, unpriced = whole
            before = _less(amount, change[0]), unpriced - change[1]
            add(db, _unlimited(key), _less(Amount(), before[0]), Amount(), 0, -before[1])
        if any(amount) or unpriced:
            counted.append(add(db, claim, amount, Amount(), 0, unpriced))
    return counted, held


def _unlimited(key: Sequence[Any]) -> Claim:
    budget, bucket, period, start = key
    return Claim(budget, bucket, period, start, Limit())


def _over(counted: Sequence[Counted]) -> tuple[str, ...]:
    return tuple(one.claim.budget for one in counted if is_over(one.claim.limit, one.settled))


def add(db: Database, claim: Claim, settled: Amount, reserved: Amount, overshoot: int, unpriced: int) -> Counted:
    """Add to what a bucket has settled and reserved. What is corrected is never less than nothing."""
    [row] = db.execute(_SETTLE, (*claim.key, *settled, *reserved, overshoot, unpriced)).fetchall()
    if min(row[:3]) < 0:  # it was counted in a budget that was removed, or rebuilt, since
        db.execute(_AT_LEAST_NOTHING, claim.key)
        row = (*(max(0, amount) for amount in row[:3]), *row[3:])
    counted = Counted(claim, Amount(*row[:3]), Amount(*row[3:6]), added=settled)
    fired = crossed(claim, counted.settled, row[6])
    if fired:
        db.execute(f"UPDATE counters SET fired = ? WHERE {KEY}", (fired[-1], *claim.key))
    return counted._replace(fired=fired)


def is_dead_lease(place: str, pid: int, began: str, expires: float) -> bool:
    return abs(expires) < time.time() or owners.is_dead(place, pid, began)


def sweep(db: Database) -> int:
    """Dead leases give back what they reserved, less their floor; they are kept a day, for a late word from their process."""
    now = time.time()
    holders = db.execute(
        "SELECT place, pid, began, min(expires) FROM leases WHERE swept = 0 GROUP BY place, pid, began"
    ).fetchall()
    swept = 0
    for *owner, earliest in holders:
        dead = owners.is_dead(*owner)
        if not dead and earliest >= now:
            continue
        rows = db.execute(
            "SELECT id, expires, claims, cost, tokens, requests, floor_cost, floor_tokens, floor_requests FROM leases "
            "WHERE swept = 0 AND place = ? AND pid = ? AND began = ? AND (? OR expires < ?)",
            (*owner, dead, now),
        ).fetchall()
        for id_, expires, keys, *amounts in rows:
            if not (dead or is_over_doubt(expires, now)):
                db.execute("UPDATE leases SET expires = ? WHERE id = ? AND expires >= 0", (in_doubt(now), id_))
                continue
            for key in json.loads(keys):
                back = (-amount for amount in amounts[:3])
                db.execute(_SETTLE, (*key, *amounts[3:], *back, 0, 0)).fetchall()
            db.execute("UPDATE leases SET swept = 1, expires = abs(expires) WHERE id = ?", (id_,))
            swept += 1
    return swept


def remove(db: Database, name: str) -> bool:
    """Forget a definition and what it has counted; calls under way settle nothing in it."""
    found = db.execute("DELETE FROM budgets WHERE name = ?", (name,)).rowcount
    db.execute("DELETE FROM counters WHERE budget = ?", (name,))
    for id_, keys in db.execute("SELECT id, claims FROM leases").fetchall():
        kept = [key for key in json.loads(keys) if key[0] != name]
        db.execute("UPDATE leases SET claims = ? WHERE id = ?", (json.dumps(kept), id_))
    raise_revision(db)
    return bool(found)


def past(db: Database) -> list[tuple[str, Sequence[Any]]]:
    """What nobody asks for any more, as the statements that delete it."""
    before = time.time() - REMEMBER_SECONDS
    records = db.execute("SELECT record FROM counted WHERE at < ?", (before,)).fetchall()
    leases = db.execute("SELECT id FROM leases WHERE swept AND expires < ?", (time.time() - _SWEPT_SECONDS,)).fetchall()
    windows = db.execute(
        "SELECT budget, bucket, period, start FROM counters WHERE period != 'total' AND start < ?", (before,)
    ).fetchall()
    return [
        *(("DELETE FROM counted WHERE record = ?", row) for row in records),
        *(("DELETE FROM leases WHERE id = ?", row) for row in leases),
        *((f"DELETE FROM counters WHERE {KEY}", row) for row in windows if is_past(row[2], row[3])),
    ]


def forget(db: Database, some: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Delete what :func:`past` found."""
    for statement, values in some:
        db.execute(statement, values)


def state(budget: str, bucket: str, period: str, start: int, *rest: Any) -> BucketState:
    overshoot, unpriced, blocked, fired = rest[6:]
    return BucketState(
        budget, bucket, period, start, Amount(*rest[:3]), Amount(*rest[3:6]), overshoot, unpriced, blocked, fired
    )


def raise_revision(db: Database) -> None:
    db.execute("INSERT INTO meta VALUES ('revision', 1) ON CONFLICT DO UPDATE SET value = value + 1")
