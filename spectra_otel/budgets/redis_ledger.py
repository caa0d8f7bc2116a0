"""The ledger in Redis: what a transaction does in SQLite one Lua script does there, for all hosts that share the server.

Money is counted by Redis in 64-bit integers; Lua compares in doubles, which are exact up to 2^53 units: limits above 900,719
dollars are refused. What is counted is as durable as the server is configured to be.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

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
)
from spectra_otel.errors import ConfigError, LedgerError

LARGEST_LIMIT = 2**53
_KINDS = ("cost", "tokens", "requests")
_P = "{spectra}:budgets:"
"""All keys have one hash tag, so that a cluster keeps them together and a script may use them together."""
_LEASES, _COUNTERS, _DEFINITIONS, _REVISION = _P + "leases", _P + "counters", _P + "definitions", _P + "revision"
_REMEMBER_SECONDS = 40 * 86400
_SEPARATOR = "\x1f"
_RESERVE = """
local n = #KEYS - 3
local wanted = {ARGV[1], ARGV[2], ARGV[3]}
if ARGV[4] ~= 'more' and redis.call('EXISTS', KEYS[2]) == 1 then return {1} end
if ARGV[4] == 'more' and redis.call('HGET', KEYS[2], 'swept') ~= '0' then return {1} end
local refused, exceeded = {}, {}
for i = 1, n do
  local v = redis.call('HMGET', KEYS[3 + i], 'sc', 'st', 'sr', 'rc', 'rt', 'rr')
  local at = 12 + (i - 1) * 4
  for k = 1, 3 do
    local limit, w = ARGV[at + k], tonumber(wanted[k])
    local used = tonumber(v[k] or '0') + tonumber(v[3 + k] or '0')
    if limit ~= '' and w > 0 and used + w > tonumber(limit) then
      local found = {i, k, v[k] or '0', v[3 + k] or '0'}
      if ARGV[at + 4] == '1' then refused[#refused + 1] = found else exceeded[#exceeded + 1] = found end
      break
    end
  end
end
local said = refused
if #refused == 0 then said = exceeded end
for _, found in ipairs(said) do
  if #refused > 0 and ARGV[4] == 'try' then
    found[5] = 0
  else
    found[5] = redis.call('HINCRBY', KEYS[3 + found[1]], 'b', 1)
    redis.call('SADD', KEYS[3], KEYS[3 + found[1]])
  end
end
if #refused > 0 then return {0, unpack(refused)} end
for i = 1, n do
  redis.call('HINCRBY', KEYS[3 + i], 'rc', wanted[1])
  redis.call('HINCRBY', KEYS[3 + i], 'rt', wanted[2])
  redis.call('HINCRBY', KEYS[3 + i], 'rr', wanted[3])
  redis.call('SADD', KEYS[3], KEYS[3 + i])
end
if ARGV[4] ~= 'more' then
  redis.call('HSET', KEYS[2], 'keys', ARGV[5], 'cost', wanted[1], 'tokens', wanted[2], 'requests', wanted[3], 'fc', ARGV[6],
    'ft', ARGV[7], 'fr', ARGV[8], 'place', ARGV[9], 'pid', ARGV[10], 'began', ARGV[11], 'swept', '0')
else
  redis.call('HINCRBY', KEYS[2], 'cost', wanted[1])
  redis.call('HINCRBY', KEYS[2], 'tokens', wanted[2])
  redis.call('HINCRBY', KEYS[2], 'requests', wanted[3])
end
redis.call('ZADD', KEYS[1], ARGV[12], KEYS[2])
return {1, unpack(exceeded)}
"""
"""KEYS: leases, the lease, counters, one counter per claim. ARGV: wanted, what it is, keys, floor, owner, expiry, limits.

It is `new`, `try` (new, but a refusal is not final) or `more`.
"""
_ADD = """
local function text(number) return string.format('%.0f', number) end
local function add(key, settled, reserved, overshoot, unpriced, limits, thresholds)
  local s, r = {'sc', 'st', 'sr'}, {'rc', 'rt', 'rr'}
  local result, part = {}, 0
  for k = 1, 3 do
    result[k] = redis.call('HINCRBY', key, s[k], settled[k])
    if limits[k] ~= '' and tonumber(limits[k]) > 0 then part = math.max(part, result[k] / tonumber(limits[k])) end
  end
  for k = 1, 3 do result[3 + k] = redis.call('HINCRBY', key, r[k], reserved[k]) end
  redis.call('HINCRBY', key, 'o', overshoot)
  redis.call('HINCRBY', key, 'u', unpriced)
  redis.call('SADD', KEYS[3], key)
  local fired, highest = {}, tonumber(redis.call('HGET', key, 'f') or '0')
  local before = highest
  for threshold in string.gmatch(thresholds, '[^,]+') do
    local t = tonumber(threshold)
    if before < t and t <= part then
      fired[#fired + 1] = threshold
      highest = math.max(highest, t)
    end
  end
  if #fired > 0 then redis.call('HSET', key, 'f', tostring(highest)) end
  result[7] = table.concat(fired, ',')
  for k = 1, 6 do result[k] = text(result[k]) end
  return result
end
"""
_SETTLE = (
    _ADD
    + """
local l = redis.call('HMGET', KEYS[2], 'swept', 'cost', 'tokens', 'requests', 'fc', 'ft', 'fr')
if not l[1] then return {} end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], KEYS[2])
local settled, reserved = {}, {}
local overshoot = math.max(0, tonumber(ARGV[1]) - tonumber(l[2]))
for k = 1, 3 do
  if l[1] == '1' then
    settled[k], reserved[k] = text(tonumber(ARGV[k]) - tonumber(l[4 + k])), '0'
  else
    settled[k], reserved[k] = ARGV[k], text(0 - tonumber(l[1 + k]))
  end
end
local results = {}
for i = 4, #KEYS do
  local at = 4 + (i - 4) * 4
  results[#results + 1] = add(KEYS[i], settled, reserved, text(overshoot), ARGV[4],
    {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]}, ARGV[at + 4])
end
return results
"""
)
_COUNT = (
    _ADD
    + """
local known = KEYS[2] ~= '' and redis.call('GET', KEYS[2])
if known then return {known} end
local results, over = {''}, {}
for i = 4, #KEYS do
  local at = 5 + (i - 4) * 4
  results[#results + 1] = add(KEYS[i], {ARGV[1], ARGV[2], ARGV[3]}, {'0', '0', '0'}, '0', ARGV[4],
    {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]}, ARGV[at + 4])
  for k = 1, 3 do
    if ARGV[at + k] ~= '' and tonumber(results[#results][k]) > tonumber(ARGV[at + k]) then
      over[#over + 1] = KEYS[i]
      break
    end
  end
end
results[1] = table.concat(over, '\\n')
if KEYS[2] ~= '' then redis.call('SET', KEYS[2], results[1], 'EX', ARGV[5]) end
return results
"""
)
_SWEEP = (
    _ADD
    + """
local l = redis.call('HMGET', KEYS[2], 'swept', 'cost', 'tokens', 'requests', 'fc', 'ft', 'fr', 'keys')
if l[1] ~= '0' then return 0 end
for key in string.gmatch(l[8], '[^\\n]+') do
  local back = {text(0 - tonumber(l[2])), text(0 - tonumber(l[3])), text(0 - tonumber(l[4]))}
  add(key, {l[5], l[6], l[7]}, back, '0', '0', {'', '', ''}, '')
end
redis.call('HSET', KEYS[2], 'swept', '1')
redis.call('EXPIRE', KEYS[2], 86400)
redis.call('ZREM', KEYS[1], KEYS[2])
return 1
"""
)


class RedisLedger:
    """A ledger on the server at ``url``. Safe between threads, processes and forks. Raises :class:`LedgerError`."""

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise ConfigError(
                f"SPECTRA_BUDGETS_URL: got '{_without_password(url)}', which needs: pip install spectra-otel[redis]"
            ) from None
        self.url = _without_password(url)
        self._errors = (redis.RedisError, OSError)
        self._client: Any = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=2.0, socket_connect_timeout=1.0
        )
        self._scripts = {
            name: self._client.register_script(text)
            for name, text in (("reserve", _RESERVE), ("settle", _SETTLE), ("count", _COUNT), ("sweep", _SWEEP))
        }
        self._swept_at = 0.0

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
            self._swept_at = time.monotonic()
            self.sweep()
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

    def settle(self, lease: Lease, actual: Amount, *, unpriced: int = 0, wait: bool = True) -> list[Counted]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        _or_would_wait(wait)
        keys = [_LEASES, _lease(lease.id), _COUNTERS, *map(_counter, lease.claims)]
        return _counted(lease.claims, self._run("settle", keys, [*actual, unpriced, *_limits(lease.claims)]))

    def count(
        self, record: str, claims: Sequence[Claim], amount: Amount, *, unpriced: int = 0, wait: bool = True
    ) -> Tally:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        _or_would_wait(wait)
        keys = [_LEASES, f"{_P}counted:{record}", _COUNTERS, *map(_counter, claims)]
        over, *rows = self._run("count", keys, [*amount, unpriced, _REMEMBER_SECONDS, *_limits(claims)])
        return Tally(_counted(claims, rows), tuple(_parts(key)[0] for key in over.split("\n") if key))

    def correct(self, claims: Sequence[Claim], difference: Amount) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        keys = [_LEASES, "", _COUNTERS, *map(_counter, claims)]
        self._run("count", keys, [*difference, 0, 0, *_limits(claims)])

    def renew(self, leases: Sequence[int]) -> None:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        expires = time.time() + LEASE_SECONDS
        if leases:
            self._do(lambda redis: redis.zadd(_LEASES, {_lease(id_): expires for id_ in leases}, xx=True))

    def sweep(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        return sum(self._run("sweep", [_LEASES, key, _COUNTERS], []) for key in self._dead())

    def revision(self) -> int:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        return int(self._do(lambda redis: redis.get(_REVISION)) or 0)

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
        found = self._do(lambda redis: redis.hdel(_DEFINITIONS, name))
        for key in self._counter_keys(name):
            self._do(lambda redis, key=key: (redis.delete(key), redis.srem(_COUNTERS, key)))
        self._do(lambda redis: redis.incr(_REVISION))
        return bool(found)

    def states(self, budget: str | None = None) -> list[BucketState]:
        """See :class:`~spectra_otel.budgets.ledger.Ledger`."""
        return [self._state(key) for key in self._counter_keys(budget)]

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
        return Health(self.url, leases, len(self._dead()), sum(s.overshoot for s in states), len(self.definitions()))

    def checkpoint(self) -> None:
        """Nothing: the server keeps itself tidy."""

    def _reserve(
        self, id_: int, claims: Sequence[Claim], wanted: Amount, floor: Amount, mode: str
    ) -> Lease | list[Refusal]:
        counters = [_counter(claim) for claim in claims]
        argv: list[Any] = [*wanted, mode, "\n".join(counters), *floor, *owners.me(), time.time() + LEASE_SECONDS]
        for claim in claims:
            argv += [*("" if limit is None else limit for limit in claim.limit), int(claim.is_hard)]
        admitted, *rows = self._run("reserve", [_LEASES, _lease(id_), _COUNTERS, *counters], argv)
        refusals = [_refusal(claims, wanted, *map(int, row)) for row in rows]
        return Lease(id_, claims, wanted, floor, refusals) if admitted else refusals

    def _dead(self) -> list[str]:
        verdicts: dict[tuple[str, ...], bool] = {}
        dead = []
        now = time.time()
        for key, expires in self._do(lambda redis: redis.zrange(_LEASES, 0, -1, withscores=True)):
            place, pid, began = self._do(lambda redis, key=key: redis.hmget(key, "place", "pid", "began"))
            owner = (place or "", pid or "0", began or "")
            if owner not in verdicts:
                verdicts[owner] = owners.is_dead(owner[0], int(owner[1]), owner[2])
            if verdicts[owner] or expires < now:
                dead.append(key)
        return dead

    def _counter_keys(self, budget: str | None) -> list[str]:
        keys: list[str] = sorted(self._do(lambda redis: redis.smembers(_COUNTERS)))
        return keys if budget is None else [key for key in keys if _parts(key)[0] == budget]

    def _state(self, key: str) -> BucketState:
        names = ("sc", "st", "sr", "rc", "rt", "rr", "o", "u", "b", "f")
        found = self._do(lambda redis: redis.hmget(key, *names))
        *numbers, fired = [value or "0" for value in found]
        counts = [int(value) for value in numbers]
        budget, bucket, period, start = _parts(key)
        overshoot, unpriced, blocked = counts[6:]
        settled, reserved = Amount(*counts[:3]), Amount(*counts[3:6])
        return BucketState(
            budget, bucket, period, int(start), settled, reserved, overshoot, unpriced, blocked, float(fired)
        )

    def _sweep_is_due(self) -> bool:
        return time.monotonic() - self._swept_at >= 0.25

    def _run(self, script: str, keys: list[str], argv: list[Any]) -> Any:
        return self._do(lambda redis: self._scripts[script](keys=keys, args=argv, client=redis))

    def _do(self, call: Any) -> Any:
        try:
            return call(self._client)
        except self._errors as error:
            raise LedgerError(f"the ledger of budgets {self.url} cannot be used: {error}") from error


def _or_would_wait(wait: bool) -> None:
    if not wait:  # a network is always waited for
        raise WouldWait


def _key(budget: str, bucket: str, period: str, start: int) -> str:
    return f"{_P}counter:" + _SEPARATOR.join(
        (budget, bucket.replace(_SEPARATOR, " ").replace("\n", " "), period, str(start))
    )


def _counter(claim: Claim) -> str:
    return _key(*claim.key)


def _parts(key: str) -> list[str]:
    return key.removeprefix(f"{_P}counter:").split(_SEPARATOR)


def _lease(id_: int) -> str:
    return f"{_P}lease:{id_}"


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
    for claim, row in zip(claims, rows, strict=False):  # a lease that is settled already gives no rows
        numbers = [int(value) for value in row[:6]]
        fired = tuple(sorted(float(part) for part in row[6].split(",") if part))
        found.append(Counted(claim, Amount(*numbers[:3]), Amount(*numbers[3:]), fired))
    return found


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
