"""The ledger in Redis: what a transaction does in SQLite one Lua script does there, for all hosts that share the server.

Limits above 900,719 dollars are refused: a script compares no larger ones exactly. What is counted is as durable as the server is
configured to be.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from spectra_otel.budgets import owners
from spectra_otel.budgets import redis_scripts as scripts
from spectra_otel.budgets.amounts import Amount
from spectra_otel.budgets.ledger import (
    LEASE_SECONDS,
    REMEMBER_SECONDS,
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
    in_doubt,
    is_over_doubt,
    is_past,
    pause_after,
)
from spectra_otel.budgets.redis_scripts import P
from spectra_otel.errors import ConfigError, LedgerError
from spectra_otel.forks import in_forked_child

LARGEST_LIMIT = 2**53
_KINDS = ("cost", "tokens", "requests")
_LEASES, _COUNTERS, _DEFINITIONS, _REVISION = P + "leases", P + "counters", P + "definitions", P + "revision"
_IDENTITY = P + "identity"
_CORRECTION_SECONDS = 3600
_TIDY_SECONDS = 3600
_AT_ONCE = 500
_SEPARATOR = "\x1f"
_ESCAPED = ("\\", _SEPARATOR, "\n")
_STATE = ("sc", "st", "sr", "rc", "rt", "rr", "o", "u", "b", "f")


class RedisLedger:
    """A ledger on the server at ``url``. Safe between threads, processes and forks. Raises :class:`LedgerError`."""

    def __init__(self, url: str) -> None:
        try:
            import redis
            from redis.exceptions import NoScriptError
        except ImportError:
            raise ConfigError(
                f"SPECTRA_BUDGETS_URL: got '{_without_password(url)}', which needs: pip install spectra-otel[redis]"
            ) from None
        self.url = _without_password(url)
        self.identity = ""
        self._errors = (redis.RedisError, OSError)
        self._is_lost: type[Exception] = redis.ConnectionError
        self._is_unknown: type[Exception] = NoScriptError
        self._answer_of_server: type[Exception] = redis.ResponseError
        try:
            self._client: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_timeout=2.0, socket_connect_timeout=1.0
            )
            self._connection()
        except (ValueError, TypeError) as error:
            raise ConfigError(f"SPECTRA_BUDGETS_URL: got '{self.url}': {error}, valid: redis://host:port/0") from None
        self._scripts = {
            text: (hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text)
            for text in (
                scripts.RESERVE,
                scripts.SETTLE,
                scripts.COUNT,
                scripts.HOLDERS,
                scripts.HELD,
                scripts.SWEEP,
                scripts.REMOVE,
            )
        }
        self._idle: deque[Any] = deque()
        self._reset()
        in_forked_child(self._reset)

    def __del__(self) -> None:
        for connection in getattr(self, "_idle", ()):
            connection.disconnect()

    def _reset(self) -> None:
        self._parents = self._idle  # which a child must not use
        self._idle = deque()
        self._sweep_at = self._tidy_at = 0.0

    def reserve(
        self, claims: Sequence[Claim], bound: Amount, floor: Amount, *, wait: bool = True
    ) -> Lease | list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        _or_would_wait(wait)
        for claim in claims:
            if any(limit is not None and limit > LARGEST_LIMIT for limit in claim.limit):
                raise LedgerError(f"budget '{claim.budget}': a ledger in Redis counts limits up to 900,719 USD")
        id_ = int.from_bytes(os.urandom(8)) >> 2
        sweeps = self._sweep_is_due()
        found = self._reserve(id_, claims, bound, floor, "try" if sweeps else "new")
        if isinstance(found, list) and sweeps:
            begin = time.monotonic()
            self.sweep()
            self._sweep_at = pause_after(begin)
            found = self._reserve(id_, claims, bound, floor, "new")
        return found

    def extend(self, lease: Lease, more: Amount, *, wait: bool = True) -> list[Refusal]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        _or_would_wait(wait)
        found = self._reserve(lease.id, lease.claims, more, lease.floor, "more")
        if isinstance(found, list):
            return found
        lease.bound = Amount(*(a + b for a, b in zip(lease.bound, more, strict=True)))
        return []

    def settle(
        self, lease: Lease, actual: Amount, *, unpriced: int = 0, record: str = "", wait: bool = True
    ) -> list[Counted]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        _or_would_wait(wait)
        keys = [_LEASES, _lease(lease.id), _record(record), *map(_counter, lease.claims)]
        seconds = REMEMBER_SECONDS if record else 0
        argv = [*actual, unpriced, seconds, *_limits(lease.claims)]
        return _counted(lease.claims, self._run(scripts.SETTLE, keys, argv))

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
        _or_would_wait(wait)
        return self._count(record, claims, amount, unpriced, rev, REMEMBER_SECONDS)

    def correct(self, claims: Sequence[Claim], difference: Amount, *, unpriced: int = 0) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        self._count(f"correction:{os.urandom(8).hex()}", claims, difference, unpriced, 0, _CORRECTION_SECONDS)

    def _count(
        self, record: str, claims: Sequence[Claim], amount: Amount, unpriced: int, rev: int, seconds: int
    ) -> Tally:
        keys = [_LEASES, _record(record), _COUNTERS, *map(_counter, claims)]
        over, *rows = self._run(scripts.COUNT, keys, [*amount, unpriced, seconds, rev, *_limits(claims)])
        return Tally(_counted(claims, rows), tuple(_parts(key)[0] for key in over.split("\n") if key))

    def renew(self, leases: Sequence[int]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        expires = time.time() + LEASE_SECONDS
        if leases:
            self._do(lambda redis: redis.zadd(_LEASES, {_lease(id_): expires for id_ in leases}, xx=True))

    def sweep(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        now = time.time()
        dead, late = self._dead(now)
        fresh = {key: in_doubt(now) for key, expires in late if expires >= 0}
        if fresh:
            self._do(lambda redis: redis.zadd(_LEASES, fresh, xx=True))
        dead += [key for key, expires in late if is_over_doubt(expires, now)]
        return sum(self._run(scripts.SWEEP, [_LEASES, key, _COUNTERS], []) for key in dead)

    def revision(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        revision, identity = self._do(lambda redis: redis.mget(_REVISION, _IDENTITY))
        if identity is None:
            self._do(lambda redis: redis.set(_IDENTITY, os.urandom(8).hex(), nx=True))
            identity = self._do(lambda redis: redis.get(_IDENTITY))
        self.identity = identity or ""
        return int(revision or 0)

    def definitions(self) -> list[Stored]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        found: dict[str, str] = self._do(lambda redis: redis.hgetall(_DEFINITIONS))
        return [Stored(name, **json.loads(text)) for name, text in sorted(found.items())]

    def define(self, stored: Stored) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        row = {"definition": stored.definition, "source": stored.source, "enabled": stored.enabled}
        text = json.dumps({**row, "configured": stored.configured})
        self._do(lambda redis: (redis.hset(_DEFINITIONS, stored.name, text), redis.incr(_REVISION)))

    def remove(self, name: str) -> bool:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        keys = [_LEASES, _REVISION, _COUNTERS, _DEFINITIONS]
        return bool(self._run(scripts.REMOVE, keys, [name, f"{P}counter:{name}{_SEPARATOR}"]))

    def states(self, budget: str | None = None) -> list[BucketState]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        keys = self._counter_keys(budget)
        return [_state(_parts(key), row) for key, row in zip(keys, self._rows(keys, _STATE), strict=True)]

    def state(self, key: Key) -> BucketState:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        return _state(key, self._do(lambda redis: redis.hmget(_key(*key), _STATE)))

    def replace(self, states: Sequence[BucketState]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        for state in states:
            key = _key(state.budget, state.bucket, state.period, state.start)
            values = dict(zip(("sc", "st", "sr"), state.settled, strict=True)) | {"u": state.unpriced}
            self._do(
                lambda redis, key=key, values=values: (redis.hset(key, mapping=values), redis.sadd(_COUNTERS, key))
            )

    def health(self) -> Health:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        states = self.states()
        leases = self._do(lambda redis: redis.zcard(_LEASES))
        overshoot, budgets = sum(s.overshoot for s in states), len(self.definitions())
        now = time.time()
        dead, late = self._dead(now)
        gone = len(dead) + sum(abs(expires) < now for _, expires in late)
        return Health(self.url, leases, gone, overshoot, budgets, self._doubt())

    def _doubt(self) -> str:
        try:
            memory = self._do(lambda redis: redis.info("memory"))
        except LedgerError:  # not everybody may ask
            return ""
        policy = memory.get("maxmemory_policy", "noeviction")
        if not memory.get("maxmemory") or policy == "noeviction":
            return ""
        return (
            f"{self.url} may forget what is counted: its maxmemory-policy is {policy}, noeviction is what budgets need"
        )

    def checkpoint(self) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`. Forgets windows that are long past."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        past = [key for key in self._counter_keys(None) if is_past(*_parts(key)[2:])]
        for begin in range(0, len(past), _AT_ONCE):
            some = past[begin : begin + _AT_ONCE]
            self._do(lambda redis, some=some: (redis.delete(*some), redis.srem(_COUNTERS, *some)))

    def _reserve(
        self, id_: int, claims: Sequence[Claim], wanted: Amount, floor: Amount, mode: str
    ) -> Lease | list[Refusal]:
        counters = [_counter(claim) for claim in claims]
        argv: list[Any] = [*wanted, mode, "\n".join(counters), *floor, *owners.me(), time.time() + LEASE_SECONDS]
        for claim in claims:
            argv += [*("" if limit is None else limit for limit in claim.limit), int(claim.is_hard)]
        admitted, *rows = self._run(scripts.RESERVE, [_LEASES, _lease(id_), _COUNTERS, *counters], argv)
        refusals = [_refusal(claims, wanted, *map(int, row)) for row in rows]
        return Lease(id_, claims, wanted, floor, refusals) if admitted else refusals

    def _dead(self, now: float) -> tuple[list[str], list[tuple[str, float]]]:
        """The leases of processes that are gone; those of others that expired or are in doubt, and when they expire."""
        found: list[str] = []
        late: list[tuple[str, float]] = []
        for *owner, earliest in self._run(scripts.HOLDERS, [_LEASES], []):
            dead = owners.is_dead(owner[0], int(owner[1]), owner[2])
            if dead or float(earliest) < now:
                held = self._run(scripts.HELD, [_LEASES], [*owner, "+inf" if dead else f"({now}"])
                leases = [(key, float(expires)) for key, expires in zip(held[::2], held[1::2], strict=True)]
                found += [key for key, _ in leases if dead]
                late += [] if dead else leases
        return found, late

    def _counter_keys(self, budget: str | None) -> list[str]:
        keys: list[str] = sorted(self._do(lambda redis: redis.smembers(_COUNTERS)))
        return keys if budget is None else [key for key in keys if _parts(key)[0] == budget]

    def _rows(self, keys: Sequence[str], fields: Sequence[str]) -> list[list[str | None]]:
        """Those fields of many hashes."""

        def read(redis: Any, some: Sequence[str]) -> list[list[str | None]]:
            pipeline = redis.pipeline(transaction=False)
            for key in some:
                pipeline.hmget(key, fields)
            rows: list[list[str | None]] = pipeline.execute()
            return rows

        found: list[list[str | None]] = []
        for begin in range(0, len(keys), _AT_ONCE):
            found += self._do(lambda redis, some=keys[begin : begin + _AT_ONCE]: read(redis, some))
        return found

    def _sweep_is_due(self) -> bool:
        return time.monotonic() >= self._sweep_at

    def _run(self, script: str, keys: list[str], argv: list[Any]) -> Any:
        return self._do(lambda _: self._evaluate(script, keys, argv))

    def _evaluate(self, script: str, keys: list[str], argv: list[Any]) -> Any:
        """Run a script on a connection of our own: the client's way to it takes longer than the server does."""
        sha, text = self._scripts[script]
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connection()
        words: Sequence[Any] = ("EVALSHA", sha, len(keys), *keys, *argv)
        try:
            try:
                return _ask(connection, words)
            except self._is_unknown:  # the server was started anew
                return _ask(connection, ("EVAL", text, *words[2:]))
            except self._is_lost:  # the server closed what was idle; what it may have done is not done twice
                connection.disconnect()
                return _ask(connection, words)
        except self._answer_of_server:
            raise
        except BaseException:  # an answer that nobody has read must not be taken for that to the next question
            connection.disconnect()
            raise
        finally:
            self._idle.append(connection)

    def _connection(self) -> Any:
        pool = self._client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def _do(self, call: Callable[..., Any]) -> Any:
        try:
            return call(self._client)
        except self._errors as error:
            raise LedgerError(f"the ledger of budgets {self.url} cannot be used: {error}") from error


def _ask(connection: Any, words: Sequence[Any]) -> Any:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        text = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    connection.send_packed_command([b"".join(parts)], check_health=False)
    return connection.read_response()


def _or_would_wait(wait: bool) -> None:
    if not wait:  # a network is always waited for
        raise WouldWait


def _key(budget: str, bucket: str, period: str, start: int) -> str:
    if any(mark in bucket for mark in _ESCAPED):
        bucket = bucket.encode("unicode_escape").decode()
    return f"{P}counter:" + _SEPARATOR.join((budget, bucket, period, str(start)))


def _counter(claim: Claim) -> str:
    return _key(*claim.key)


def _parts(key: str) -> Key:
    budget, bucket, period, start = key.removeprefix(f"{P}counter:").split(_SEPARATOR)
    return budget, bucket.encode().decode("unicode_escape") if "\\" in bucket else bucket, period, int(start)


def _lease(id_: int) -> str:
    return f"{P}lease:{id_}"


def _record(id_: str) -> str:
    return f"{P}counted:{id_}"


def _limits(claims: Sequence[Claim]) -> list[Any]:
    return [
        item
        for claim in claims
        for item in (*("" if n is None else n for n in claim.limit), ",".join(map(repr, claim.thresholds)))
    ]


def _refusal(
    claims: Sequence[Claim], wanted: Amount, claim: int, kind: int, settled: int, reserved: int, blocked: int
) -> Refusal:
    found = claims[claim - 1]
    limit = found.limit[kind - 1] or 0
    return Refusal(found, _KINDS[kind - 1], limit, settled, reserved, wanted[kind - 1], blocked == 1)


def _counted(claims: Sequence[Claim], rows: list[list[str]]) -> list[Counted]:
    found = []
    for *amounts, fired, place, cost, tokens, requests in rows:
        numbers = [int(value) for value in amounts]
        reached = tuple(sorted(float(part) for part in fired.split(",") if part))
        settled, reserved, added = (
            Amount(*numbers[:3]),
            Amount(*numbers[3:]),
            Amount(int(cost), int(tokens), int(requests)),
        )
        found.append(Counted(claims[int(place) - 1], settled, reserved, reached, added))
    return found


def _state(key: Key, row: Sequence[str | None]) -> BucketState:
    *numbers, fired = [value or "0" for value in row]
    counts = [int(value) for value in numbers]
    overshoot, unpriced, blocked = counts[6:]
    settled, reserved = Amount(*counts[:3]), Amount(*counts[3:6])
    return BucketState(*key, settled, reserved, overshoot, unpriced, blocked, float(fired))


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
