"""What every ledger of budgets can do, whatever keeps it. SQLite by default, Redis where several hosts share budgets.

The life of a call: ``reserve`` its upper bound in all budgets that apply, or in none; perhaps ``extend`` while a stream outgrows
it; then ``settle`` what it cost. A lease whose process died is swept: its floor is charged and the rest is free again.

With ``wait=False`` a call that would have to wait for others raises :class:`WouldWait` instead, having done nothing: what code
on an event loop asks for first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.windows import RUN
from spectra_otel.config.settings import read_settings
from spectra_otel.errors import ConfigError

LEASE_SECONDS = 900
"""How long a lease lives without a word from its process, which renews what it still holds."""
RENEW_SECONDS = LEASE_SECONDS / 5
"""How often it does."""
DOUBT_SECONDS = RENEW_SECONDS + 60
"""How long a lease that has expired is waited for, if nobody knows that its process is gone: a clock that jumps ends nothing."""
REMEMBER_SECONDS = 40 * 86400
"""How long a record that was counted is known, so that it is not counted twice, and a window after its end."""
_ZERO = Amount()
_LONGEST = {
    RUN: REMEMBER_SECONDS,
    "hourly": 3600,
    "daily": 25 * 3600,
    "weekly": 7 * 86400 + 3600,
    "monthly": 31 * 86400 + 3600,
}


Key = tuple[str, str, str, int]
"""Budget, bucket, period and the start of a window: what amounts are counted under."""


class WouldWait(Exception):
    """Somebody else has the ledger at the moment."""


class Claim(NamedTuple):
    """What a call draws on: one bucket of one budget in one window."""

    budget: str
    bucket: str
    period: str
    start: int
    limit: Limit
    is_hard: bool = True
    thresholds: tuple[float, ...] = ()
    end: int | None = None
    scope: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        """What its amounts are counted under."""
        return self[:4]


class Refusal(NamedTuple):
    """A claim that has no room for ``wanted``: ``kind`` (cost, tokens, requests), its limit, what was settled and reserved of it.

    ``is_first`` is True for the first refusal of the window, in all processes.
    """

    claim: Claim
    kind: str
    limit: int
    settled: int
    reserved: int
    wanted: int = 0
    is_first: bool = False


class Counted(NamedTuple):
    """A claim after ``added`` was settled; ``fired`` are the thresholds that this reached first, in all processes."""

    claim: Claim
    settled: Amount
    reserved: Amount
    fired: tuple[float, ...] = ()
    added: Amount = _ZERO


class Tally(NamedTuple):
    """What came of a call that nobody reserved for. ``counted`` is empty where a budget has it already.

    ``over`` are the names of the budgets whose limit it went beyond when it was counted, then as now.
    """

    counted: Sequence[Counted] = ()
    over: tuple[str, ...] = ()


@dataclass(slots=True)
class Lease:
    """Room that a call has been given. ``exceeded`` are soft budgets that have none left."""

    id: int
    claims: Sequence[Claim]
    bound: Amount
    floor: Amount
    exceeded: Sequence[Refusal] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A definition in the ledger. ``configured`` is the definition a configuration file last gave, None for the other sources."""

    name: str
    definition: str
    source: str
    enabled: bool
    configured: str | None = None


@dataclass(frozen=True, slots=True)
class BucketState:
    """What is counted under one key."""

    budget: str
    bucket: str
    period: str
    start: int
    settled: Amount = _ZERO
    reserved: Amount = _ZERO
    overshoot: int = 0
    unpriced: int = 0
    blocked: int = 0
    fired: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """State of a ledger, for ``spectra doctor``."""

    url: str
    leases: int = 0
    dead: int = 0
    overshoot: int = 0
    budgets: int = 0
    doubt: str = ""
    """Why it might lose what it counts."""


class Ledger(Protocol):
    """A place that counts budgets, for all processes that share it. Its methods raise :class:`LedgerError`."""

    url: str
    identity: str
    """What no other ledger has; empty until this one was used."""

    def reserve(
        self, claims: Sequence[Claim], bound: Amount, floor: Amount, *, wait: bool = True
    ) -> Lease | list[Refusal]:
        """Give a call its bound in all claims or in none; hard claims without room are what is returned then."""
        ...

    def extend(self, lease: Lease, more: Amount, *, wait: bool = True) -> list[Refusal]:
        """Add to a lease; nothing is added where this gives refusals."""
        ...

    def settle(
        self, lease: Lease, actual: Amount, *, unpriced: int = 0, record: str = "", wait: bool = True
    ) -> list[Counted]:
        """End a lease with what the call cost; a second time does nothing.

        ``record`` is the id of one that may be revised: :meth:`count` corrects it then as one that it has counted itself.
        """
        ...

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
        """Settle a call that nobody reserved for, once per ``record`` id.

        A later revision (``rev`` above 0) takes the place of what the budgets counted of the record, and counts nothing where
        they did not; one that is ``unpriced`` leaves the money as it was. It need not say which runs the call was part of.
        """
        ...

    def correct(self, claims: Sequence[Claim], difference: Amount, *, unpriced: int = 0) -> None:
        """Add to what is settled, down to nothing: the record turned out to cost something else."""
        ...

    def renew(self, leases: Sequence[int]) -> None:
        """Say that these leases are still held."""
        ...

    def sweep(self) -> int:
        """End the leases of processes that are no more, and put in doubt those that expired of others; gives how many ended."""
        ...

    def revision(self) -> int:
        """Rises with every change of a definition. One that is lower than before is that of another, new ledger."""
        ...

    def definitions(self) -> list[Stored]:
        """Every definition, by name."""
        ...

    def define(self, stored: Stored) -> None:
        """Add a definition or replace the one of its name. What it has counted stays."""
        ...

    def remove(self, name: str) -> bool:
        """Forget a definition and what it has counted, calls under way included; False if there was none."""
        ...

    def states(self, budget: str | None = None) -> list[BucketState]:
        """What is counted, of one budget or all."""
        ...

    def state(self, key: Key) -> BucketState:
        """What is counted under one key: nothing where there is none of it."""
        ...

    def replace(self, states: Sequence[BucketState]) -> None:
        """Set what is settled of these buckets: what ``spectra budgets rebuild`` does."""
        ...

    def health(self) -> Health:
        """Leases and overshoot."""
        ...

    def checkpoint(self) -> None:
        """Tidy up, off the call path."""
        ...


def is_past(period: str, start: int) -> bool:
    """Whether a window is over for so long that no call of it is counted any more."""
    if period == "total":
        return False
    length = _LONGEST.get(period) or int(period.removesuffix("s"))
    return start + length + REMEMBER_SECONDS < time.time()


def in_doubt(now: float) -> float:
    """When a lease expires that is found expired: later once more, and less than 0, which stands until it is renewed."""
    return -(now + DOUBT_SECONDS)


def is_over_doubt(expires: float, now: float) -> bool:
    """Whether a lease that was in doubt was not renewed."""
    return expires < 0 and -expires < now


def pause_after(begin: float) -> float:
    """When dead holders are looked for again, after a look that began then: it shall not take more than a tenth of the time."""
    now = time.monotonic()
    return now + max(0.25, 10 * (now - begin))


def refusals_of(claim: Claim, settled: Amount, reserved: Amount, wanted: Amount) -> list[Refusal]:
    """Where ``wanted`` does not fit beside what is there."""
    return [
        Refusal(claim, kind, limit, settled[index], reserved[index], wanted[index])
        for index, (kind, limit) in enumerate(zip(Limit._fields, claim.limit, strict=True))
        if limit is not None and settled[index] + reserved[index] + wanted[index] > limit and wanted[index] > 0
    ]


def is_over(limit: Limit, settled: Amount) -> bool:
    """Whether more is settled than a limit allows."""
    return any(most is not None and used > most for used, most in zip(settled, limit, strict=True))


def fraction(limit: Limit, settled: Amount) -> float:
    """The largest part of a limit that is used."""
    return max((used / most for used, most in zip(settled, limit, strict=True) if most), default=0.0)


def crossed(claim: Claim, settled: Amount, fired: float) -> tuple[float, ...]:
    """The thresholds above ``fired`` that ``settled`` has reached."""
    if not claim.thresholds:
        return ()
    part = fraction(claim.limit, settled)
    return tuple(sorted(threshold for threshold in claim.thresholds if fired < threshold <= part))


def ledger_url(environ: dict[str, str] | None = None) -> str:
    """Where budgets are counted: ``SPECTRA_BUDGETS_URL``, else a SQLite file in Spectra's home."""
    from spectra_otel.model.home import home

    url = read_settings(environ).budgets_url
    return url or f"sqlite:///{home(environ) / 'budgets.db'}"


def sqlite_path(url: str) -> Path | None:
    """The file of a ``sqlite:///`` URL (three slashes and the path: four for an absolute one are understood, too)."""
    if not url.startswith("sqlite:///"):
        return None
    path = url.removeprefix("sqlite:///").replace("$SPECTRA_HOME", os.environ.get("SPECTRA_HOME", ""))
    return Path("/" + path.lstrip("/") if path.startswith("/") else path).expanduser().absolute()


def open_ledger(url: str) -> Ledger:
    """The ledger at a URL. Raises :class:`ConfigError` for one that names none."""
    path = sqlite_path(url)
    if path is not None:
        from spectra_otel.budgets.sqlite_ledger import SqliteLedger

        return SqliteLedger(path)
    if url.startswith(("redis://", "rediss://", "unix://")):
        from spectra_otel.budgets.redis_ledger import RedisLedger

        return RedisLedger(url)
    raise ConfigError(f"SPECTRA_BUDGETS_URL: got '{url}', valid: sqlite:///path or redis://host")
