"""``spectra_otel.budgets``: set, look at and change budgets from Python; what the command line does, too.

All of it goes to the ledger, so every process that shares it sees a change within a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from spectra_otel.budgets import alerts
from spectra_otel.budgets.amounts import Amount, cents, parse_money, units
from spectra_otel.budgets.book import CLI, CONFIG, PYTHON, book, on_event_loop
from spectra_otel.budgets.definition import DEFAULT_THRESHOLDS, Budget, LimitConfig, bucket_of
from spectra_otel.budgets.ledger import BucketState, Ledger, Stored, fraction, is_past
from spectra_otel.budgets.used import cost_of
from spectra_otel.errors import ConfigError

COLUMNS = (
    "name", "bucket", "period", "window_start", "resets_at", "limit_cost_in_cents", "settled_cost_in_cents",
    "reserved_cost_in_cents", "remaining_cost_in_cents", "limit_tokens", "settled_tokens", "reserved_tokens", "remaining_tokens",
    "limit_requests", "settled_requests", "reserved_requests", "remaining_requests", "overshoot_in_cents", "unpriced_requests",
    "blocked_requests", "mode", "state",
)  # fmt: skip
"""The keys of a row of ``spectra budgets status``."""


@dataclass(frozen=True, slots=True)
class Status:
    """One bucket of a budget in the window that is now. Money in cents; a limit that is not set is None, and so is its remainder.

    ``state``: ``ok``, ``warning`` (a threshold is reached), ``exceeded`` (nothing is left) or ``disabled``.
    """

    name: str
    bucket: str
    period: str
    window_start: datetime | None
    resets_at: datetime | None
    limit_cost_in_cents: Decimal | None
    settled_cost_in_cents: Decimal
    reserved_cost_in_cents: Decimal
    remaining_cost_in_cents: Decimal | None
    limit_tokens: int | None
    settled_tokens: int
    reserved_tokens: int
    remaining_tokens: int | None
    limit_requests: int | None
    settled_requests: int
    reserved_requests: int
    remaining_requests: int | None
    overshoot_in_cents: Decimal
    unpriced_requests: int
    blocked_requests: int
    mode: str
    state: str


def set(
    name: str,
    *,
    cost: str | float | None = None,
    tokens: int | None = None,
    requests: int | None = None,
    period: str | int = "monthly",
    by: str | Sequence[str] = (),
    match: Mapping[str, str] | None = None,
    mode: str = "hard",
    thresholds: float | Sequence[float] = DEFAULT_THRESHOLDS,
    timezone: str = "UTC",
    week_start: str = "monday",
    models: str | Sequence[str] = (),
    providers: str | Sequence[str] = (),
    on_unpriced: str = "block",
    on_exceeded: str = "block",
    on_unavailable: str = "",
    source: str = PYTHON,
) -> Budget:
    """Add a budget or change the one of that name; what it has counted stays, and one that is disabled stays so.

    Raises :class:`ConfigError` for a setting that is none, :class:`LedgerError` where the ledger cannot be written.
    """
    limit = LimitConfig(None if cost is None else str(cost), tokens, requests)
    budget = Budget(
        name, limit, str(period), timezone, week_start, _listed(by), dict(match or {}), mode, _listed(thresholds),
        _listed(models), _listed(providers), on_unpriced, on_exceeded, on_unavailable,
    )  # fmt: skip
    budget.validate()
    stored = _define(budget, source)
    book.refresh()
    return _definition(stored)


def _listed(values: Any) -> list[Any]:
    """A list; one value alone is a list of one."""
    return [values] if isinstance(values, str | int | float) else list(values)


def get(name: str) -> Budget | None:
    """The definition of a budget; None if there is none of that name."""
    stored = _find(name)
    return None if stored is None else _definition(stored)


def definitions() -> list[Budget]:
    """Every definition in the ledger, by name; ``enabled`` says whether it is on."""
    return [_definition(stored) for stored in _ledger().definitions()]


def status(name: str | None = None, bucket: str | None = None) -> list[Status]:
    """The buckets of one budget or all that have counted something in the window that is now.

    A budget that has counted nothing yet has one row, for the bucket asked for or ``""``. Raises :class:`ConfigError` for a
    budget that does not exist.
    """
    budgets = definitions() if name is None else [_known(name)]
    moment = time.time()
    rows: list[Status] = []
    for budget in budgets:
        window = budget.window(moment)
        key = (budget.name, bucket or "", budget.spelled_period, window.start)
        found = [_ledger().state(key)]
        if bucket is None:
            now = key[2:]
            found = [one for one in _ledger().states(budget.name) if (one.period, one.start) == now] or found
        rows += [_status(budget, state, moment) for state in found]
    return rows


def remaining(name: str, bucket: str = "") -> Decimal | int | None:
    """What is left for new calls: cents, or tokens or requests where the budget has no limit in money."""
    [row] = status(name, bucket)
    found = (row.remaining_cost_in_cents, row.remaining_tokens, row.remaining_requests)
    return next((left for left in found if left is not None), None)


def check(name: str, bucket: str = "", *, cost: str | float | None = None, tokens: int = 0, requests: int = 1) -> bool:
    """Whether a call of that size would be let through now. Reserves nothing: the answer may be old when it arrives."""
    budget = _known(name)
    if not budget.enabled or not budget.is_hard:
        return True
    window = budget.window(time.time())
    state = _ledger().state((name, bucket, budget.spelled_period, window.start))
    wanted = Amount(0 if cost is None else units(parse_money("cost", cost)), tokens, requests)
    return all(
        limit is None or settled + reserved + more <= limit
        for limit, settled, reserved, more in zip(budget.amounts, state.settled, state.reserved, wanted, strict=True)
    )


def enable(name: str) -> None:
    """Have a budget hold again. Raises :class:`ConfigError` if there is none of that name."""
    _switch(name, True)


def disable(name: str) -> None:
    """Have a budget hold no more, until it is enabled; what it has counted stays."""
    _switch(name, False)


def remove(name: str) -> bool:
    """Forget a budget and what it has counted; False if there was none."""
    found = _ledger().remove(name)
    book.refresh()
    return found


def set_from_command_line(budget: Budget) -> None:
    """Write a definition that the command line made."""
    budget.validate()
    _define(budget, CLI)


def recount(records: Sequence[Mapping[str, Any]], budget: Budget) -> list[BucketState]:
    """What a budget should have settled, by these records: one state per bucket and window."""
    totals: dict[tuple[str, int], tuple[Amount, int]] = {}
    for record in records:
        if not budget.applies(record) or record.get("started_at") is None or record.get("cost_status") == "not_billed":
            continue
        start = budget.window(record["started_at"].timestamp()).start
        key = (bucket_of(budget.scope(record)), start)
        before, unpriced = totals.get(key, (Amount(), 0))
        cost = cost_of(_with_current_cost(record))
        more = Amount(0 if cost is None else units(cost), record.get("total_tokens") or 0, 1)
        totals[key] = Amount(*(a + b for a, b in zip(before, more, strict=True))), unpriced + (cost is None)
    return [
        BucketState(budget.name, bucket, budget.spelled_period, start, settled, unpriced=unpriced)
        for (bucket, start), (settled, unpriced) in totals.items()
        if not is_past(budget.spelled_period, start)  # which the ledger has forgotten
    ]


def _with_current_cost(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record that was made without a cost has the one that was found since, if it was."""
    found = record.get("current_cost_in_cents")
    return (
        record
        if found is None or record.get("total_cost_in_cents") is not None
        else {**record, "total_cost_in_cents": found}
    )


def _ledger() -> Ledger:
    """The ledger, which knows by then what the configuration says and what calls on event loops put off."""
    book.budgets()
    if not on_event_loop():
        alerts.worker().flush(5.0)
    return book.ledger()


def _define(budget: Budget, source: str) -> Stored:
    """Write a definition. One of the configuration stays so, and one that is disabled: apps set theirs at each start."""
    known = _find(budget.name)
    if known is None:
        stored = Stored(budget.name, budget.to_json(), source, True, None)
    else:
        stored = replace(known, definition=budget.to_json(), source=CONFIG if known.source == CONFIG else source)
    _ledger().define(stored)
    return stored


def _find(name: str) -> Stored | None:
    return next((stored for stored in _ledger().definitions() if stored.name == name), None)


def _known(name: str) -> Budget:
    stored = _find(name)
    if stored is None:
        names = ", ".join(one.name for one in _ledger().definitions())
        raise ConfigError(f"budget '{name}': there is none of that name, valid: {names or 'none is set'}")
    return _definition(stored)


def _definition(stored: Stored) -> Budget:
    return replace(Budget.from_json(stored.definition), enabled=stored.enabled)


def _switch(name: str, enabled: bool) -> None:
    _known(name)
    stored = _find(name)
    assert stored is not None
    _ledger().define(replace(stored, enabled=enabled))
    book.refresh()


def _status(budget: Budget, state: BucketState, moment: float) -> Status:
    window = budget.window(moment)
    limit, settled, reserved = budget.amounts, state.settled, state.reserved
    left = [
        None if most is None else max(0, most - used - held)
        for most, used, held in zip(limit, settled, reserved, strict=True)
    ]
    return Status(
        budget.name, state.bucket, budget.spelled_period, window.starts_at, window.resets_at,
        None if limit.cost is None else cents(limit.cost), cents(settled.cost), cents(reserved.cost),
        None if left[0] is None else cents(left[0]),
        limit.tokens, settled.tokens, reserved.tokens, left[1],
        limit.requests, settled.requests, reserved.requests, left[2],
        cents(state.overshoot), state.unpriced, state.blocked, budget.mode, _state(budget, settled),
    )  # fmt: skip


def _state(budget: Budget, settled: Amount) -> str:
    if not budget.enabled:
        return "disabled"
    part = fraction(budget.amounts, settled)
    if part >= 1:
        return "exceeded"
    return "warning" if any(part >= threshold for threshold in budget.thresholds) else "ok"
