"""Between a call and its budgets: reserve its upper bound before, settle what it cost after.

Instrumentors and ``track`` come here through one seam: :func:`admit` (or :func:`admit_async` on an event loop) gives a
:class:`Ticket` or raises :class:`BudgetExceededError`, and the ticket is settled once, whoever comes first: the `budget`
processor with the priced record, or the instrumentor with what the wire said.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

from spectra_otel import faults, pricing
from spectra_otel.budgets import alerts, bounds
from spectra_otel.budgets.amounts import Amount, cents, units
from spectra_otel.budgets.book import book, on_event_loop
from spectra_otel.budgets.bounds import Bound, Request
from spectra_otel.budgets.ledger import LEASE_SECONDS, Claim, Counted, Lease, Refusal, WouldWait
from spectra_otel.errors import BudgetExceededError, LedgerError
from spectra_otel.forks import in_forked_child

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from spectra_otel.budgets.definition import Budget

Values = Mapping[str, Any]
NAME, REMAINING, BLOCKED = "spectra.budget.name", "spectra.budget.remaining_cents", "spectra.budget.blocked"
COUNTED = "spectra.budget.counted"
REWRITTEN, WARNING, EXCEEDED = "spectra.budget.rewritten", "spectra.budget.warning", "spectra.budget.exceeded"
LEAST_FIT = 16
"""An answer is not cut down to fewer tokens than this."""
_MOST_OPEN = 100_000


class Ticket:
    """A call that was let through. ``body`` is the request to send instead, where a budget had it changed."""

    def __init__(self, lease: Lease | None, bound: Bound, request: Request) -> None:
        self.lease = lease
        self.bound = bound
        self.request = request
        self.body: dict[str, Any] | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.marks: dict[str, Any] = {}
        self.settled: Amount | None = None
        self._once = Lock()
        self._room = bound.output * bounds.CHARACTERS_PER_TOKEN

    @property
    def claims(self) -> Sequence[Claim]:
        """What the call draws on."""
        return self.lease.claims if self.lease is not None else ()

    def delivered(self, characters: int) -> None:
        """So much of a stream is delivered. Raises :class:`BudgetExceededError` where it outgrows what there is room for."""
        if characters <= self._room or self.lease is None or not self.bound.grows:
            return
        step = bounds.STREAM_STEP
        further = bounds.upper_bound(self.request, cap=self.bound.output + step)
        more = Amount(max(0, further.amount.cost - self.bound.amount.cost), step, 0)
        try:
            refused = book.ledger().extend(self.lease, more, wait=not on_event_loop())
        except WouldWait:
            return  # the next piece asks again
        except LedgerError as error:
            faults.report("budgets", str(error))
            return
        if refused:
            cut = error_of(refused, "the stream was cut: ")
            cut.partial = {"characters": characters}
            raise cut
        self.bound = self.bound._replace(
            amount=Amount(*(a + b for a, b in zip(self.bound.amount, more, strict=True))),
            output=self.bound.output + step,
        )
        self._room += step * bounds.CHARACTERS_PER_TOKEN

    def leave(self, context: SpanContext) -> None:
        """Have whoever sees that span end settle it, with the priced record."""
        if len(_by_span) >= _MOST_OPEN:
            _by_span.pop(next(iter(_by_span)), None)
        _by_span[context.trace_id, context.span_id] = self

    def settle(self, values: Values) -> bool:
        """Charge what the record says the call cost. True for the one that did; one after it corrects it. Never raises."""
        try:
            amount, unpriced = self._actual(values)
            if not self._once.acquire(blocking=False):
                self._correct(amount)
                return False
            self.settled = amount
            _open.pop(id(self), None)
            if self.lease is not None:
                _charge(self, self.lease, amount, unpriced)
            return True
        except Exception as error:
            faults.report("budgets", error)
            return False

    def _correct(self, amount: Amount) -> None:
        before, lease = self.settled, self.lease
        if before is None or lease is None or amount == before:
            return
        self.settled = amount
        difference = Amount(*(a - b for a, b in zip(amount, before, strict=True)))
        later(lambda: book.ledger().correct(lease.claims, difference))

    def _actual(self, values: Values) -> tuple[Amount, int]:
        """What a record charges, and whether its cost is unknown."""
        status = values.get("cost_status")
        if status == "not_billed":
            return Amount(), 0
        tokens = values.get("total_tokens")
        if tokens is None:
            parts = [values.get("prompt_tokens"), values.get("completion_tokens")]
            tokens = sum(part or 0 for part in parts) if any(part is not None for part in parts) else None
        cost = cost_of(values)
        if status == "billed_unknown":
            return self.bound.floor, 0
        if cost is not None:
            return Amount(units(cost), tokens if tokens is not None else 0, 1), 0
        # Its cost is not known: what was set aside for it is charged, never nothing.
        return Amount(self.bound.amount.cost, tokens if tokens is not None else self.bound.amount.tokens, 1), 1


def admit(values: Values, body: Mapping[str, Any], size: int, *, may_rewrite: bool = True) -> Ticket:
    """Let a call through, or raise :class:`BudgetExceededError`.

    Args:
        values: Record fields known before the call: provider, model, attribution.
        body: The request's body as an object; empty where it cannot be read.
        size: Bytes of the body.
        may_rewrite: Whether the caller can send another body, as ``fit`` and ``switch`` want.
    """
    return _admit(values, body, size, may_rewrite, wait=True)


async def admit_async(values: Values, body: Mapping[str, Any], size: int, *, may_rewrite: bool = True) -> Ticket:
    """:func:`admit` for an event loop: one try without waiting, then on a thread."""
    if not on_event_loop():
        return admit(values, body, size, may_rewrite=may_rewrite)
    try:
        return _admit(values, body, size, may_rewrite, wait=False)
    except WouldWait:
        pass
    loop = asyncio.get_running_loop()
    here = copy_context()  # where tree budgets are
    waiting = loop.run_in_executor(_threads(), lambda: here.run(_admit, values, body, size, may_rewrite, True))
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        waiting.add_done_callback(_give_back)
        raise


def check_open(values: Values) -> None:
    """Raise :class:`BudgetExceededError` where nothing is left for a call whose size is not known yet.

    For calls that are tracked by hand: what they cost is counted when they say it. On an event loop a ledger that others have
    at the moment is not waited for.
    """
    claims = book.claims(values, time.time())
    if book.problem is not None:
        _unavailable(claims, book.problem)
        return
    if not claims:
        return
    _check_allowed(claims, values)
    try:
        refused = book.ledger().spent([claim for _, claim in claims], wait=not on_event_loop())
    except WouldWait:
        return
    except LedgerError as error:
        faults.report("budgets", str(error))
        _unavailable(claims, error)
        return
    if refused:
        for refusal in refused:
            alerts.exceeded(refusal, blocked=True)
        raise error_of(refused)


def take(context: SpanContext | None) -> Ticket | None:
    """The ticket of the call that a span stands for, once."""
    if context is None or not _by_span:
        return None
    return _by_span.pop((context.trace_id, context.span_id), None)


def later(call: Callable[[], object]) -> None:
    """Have ``call`` done off the call path; it may wait for the ledger there."""
    alerts.worker().put(call)


def flush() -> None:
    """Have done what was put off."""
    alerts.worker().flush(10.0)


def error_of(refused: Sequence[Refusal], prefix: str = "") -> BudgetExceededError:
    """The error for refusals: of the budget that is full for longest."""
    worst = max(refused, key=lambda refusal: refusal.claim.end or float("inf"))
    claim = worst.claim
    resets_at = _moment(claim.end)
    where = ", ".join(f"{key}={value}" for key, value in claim.scope if value)
    until = f"; more from {resets_at:%Y-%m-%d %H:%M:%S} UTC" if resets_at else ""
    name = claim.budget.removeprefix("tree:")
    spent, reserved, limit, wanted = (
        _shown(worst.kind, amount) for amount in (worst.settled, worst.reserved, worst.limit, worst.wanted)
    )
    text = (
        f"{prefix}budget '{name}'{f' ({where})' if where else ''} has no room for a call of up to {wanted}: "
        f"{spent} spent and {reserved} under way of {limit}{until}"
    )
    amounts = {"limit": worst.limit, "spent": worst.settled, "reserved": worst.reserved}
    details = {key: cents(amount) if worst.kind == "cost" else amount for key, amount in amounts.items()}
    return BudgetExceededError(text, name=name, scope=dict(claim.scope), resets_at=resets_at, **details)


def cost_of(values: Values) -> Decimal | None:
    """What a record costs in cents: as it says, or as the catalog does; None where nobody knows."""
    known = values.get("total_cost_in_cents")
    if known is not None:
        return Decimal(known)
    if values.get("cost_status") in ("free", "cache_hit"):
        return Decimal(0)
    said = values.get("provider_cost_usd")
    if said is not None:
        return Decimal(repr(said)) * 100
    if values.get("error_type") == "usage_inconsistent":
        return None
    for name in (values.get("snapshot"), values.get("model")):
        if name:
            tier = values.get("pricing_tier")
            cost = pricing.calculate(values.get("provider") or "", name, values, pricing_tier=tier).total_cost_in_cents
            if cost is not None:
                return cost
    return None


# -- inside ------------------------------------------------------------------------------------------------------------

_by_span: dict[tuple[int, int], Ticket] = {}
_open: dict[int, Ticket] = {}
_pool: ThreadPoolExecutor | None = None
_renewed_at = 0.0


def _admit(values: Values, body: Mapping[str, Any], size: int, may_rewrite: bool, wait: bool) -> Ticket:
    claims = book.claims(values, time.time(), wait)
    request = _request(values, body, size)
    if book.problem is not None:
        _unavailable(claims, book.problem)
        return Ticket(None, Bound(), request)
    bound = bounds.upper_bound(request)
    if not claims:
        return Ticket(None, bound, request)
    _check_allowed(claims, values)
    if bound.unpriced:
        bound = _without_price(claims, request, bound)
    try:
        found = book.ledger().reserve([claim for _, claim in claims], bound.amount, bound.floor, wait=wait)
        if not isinstance(found, Lease):
            return _no_room(claims, request, found, may_rewrite and bool(body), wait)
    except LedgerError as error:
        faults.report("budgets", str(error))
        _unavailable(claims, error)
        return Ticket(None, bound, request)
    return _ticket(found, bound, request)


def _ticket(lease: Lease, bound: Bound, request: Request) -> Ticket:
    ticket = Ticket(lease, bound, request)
    for refusal in lease.exceeded:
        alerts.exceeded(refusal, blocked=False)
        ticket.events.append((EXCEEDED, {"budget": refusal.claim.budget, "kind": refusal.kind}))
    _open[id(ticket)] = ticket
    _renew_now_and_then()
    return ticket


def _no_room(
    claims: Sequence[tuple[Budget, Claim]], request: Request, refused: list[Refusal], may_rewrite: bool, wait: bool
) -> Ticket:
    """What the budgets without room want: a smaller call, another model, the app's own decision, or none."""
    by_name = {claim.budget: budget for budget, claim in claims}
    wishes = {by_name[refusal.claim.budget].on_exceeded for refusal in refused}
    error = error_of(refused)
    wish = wishes.pop() if len(wishes) == 1 else "block"
    if wish not in ("block", "fit") and not wish.startswith("switch:"):
        wish = _ask(wish, request, error)
    ticket: Ticket | None = None
    if may_rewrite and wish == "fit":
        ticket = _fit(claims, request, refused, wait)
    elif may_rewrite and wish.startswith("switch:") and "model" in request.body:
        ticket = _switch(claims, request, wish.removeprefix("switch:"), wait)
    for refusal in refused:
        alerts.exceeded(refusal, blocked=ticket is None)
    if ticket is None:
        raise error
    return ticket


def _fit(claims: Sequence[tuple[Budget, Claim]], request: Request, refused: list[Refusal], wait: bool) -> Ticket | None:
    """The same call with its output limited to what there is room for."""
    room = {r.kind: r.limit - r.settled - r.reserved for r in refused}
    if "requests" in room:
        return None
    before = bounds.upper_bound(request)
    low, high = 0, before.output
    while high - low > 1:  # the cost rises with the output, so the largest that fits is found by halving
        middle = (low + high) // 2
        amount = bounds.upper_bound(request, cap=middle).amount
        fits = all(getattr(amount, kind) <= most for kind, most in room.items())
        low, high = (middle, high) if fits else (low, middle)
    if low < LEAST_FIT:
        return None
    body = bounds.with_output_limit(request.body, low, request.provider)
    smaller = request._replace(body=body)
    ticket = _again(claims, smaller, wait)
    if ticket is not None:
        ticket.events.append((REWRITTEN, {"max_tokens.before": before.output, "max_tokens.after": low}))
    return ticket


def _switch(claims: Sequence[tuple[Budget, Claim]], request: Request, model: str, wait: bool) -> Ticket | None:
    """The same call to another model of the same provider."""
    if model == request.model:
        return None
    ticket = _again(claims, request._replace(model=model, body={**request.body, "model": model}), wait)
    if ticket is not None:
        ticket.events.append((REWRITTEN, {"model.before": request.model, "model.after": model}))
    return ticket


def _again(claims: Sequence[tuple[Budget, Claim]], request: Request, wait: bool) -> Ticket | None:
    bound = bounds.upper_bound(request)
    if bound.unpriced:
        return None
    found = book.ledger().reserve([claim for _, claim in claims], bound.amount, bound.floor, wait=wait)
    if not isinstance(found, Lease):
        return None
    ticket = _ticket(found, bound, request)
    ticket.body = dict(request.body)
    return ticket


def _ask(path: str, request: Request, error: BudgetExceededError) -> str:
    """What the app's own function says: ``block``, ``fit`` or ``switch:<model>``. One that fails blocks."""
    try:
        answer = _load(path)(error, request)
    except Exception as fault:
        faults.report(f"budget callback {path}", fault)
        return "block"
    return answer if isinstance(answer, str) else "block"


def _check_allowed(claims: Sequence[tuple[Budget, Claim]], values: Values) -> None:
    provider, model = values.get("provider"), values.get("model")
    for budget, claim in claims:
        if budget.is_hard and not budget.allows(provider, model):
            raise BudgetExceededError(
                f"budget '{budget.name}' does not allow provider '{provider}', model '{model}': it allows "
                f"{', '.join([*budget.providers, *budget.models])}",
                name=budget.name, scope=dict(claim.scope), resets_at=None,
            )  # fmt: skip


def _without_price(claims: Sequence[tuple[Budget, Claim]], request: Request, bound: Bound) -> Bound:
    """The bound of a call whose cost is not known, as the budgets in money want it."""
    bounded = bound
    for budget, claim in claims:
        if claim.limit.cost is None:
            continue
        wish = budget.on_unpriced
        if wish not in ("block", "mark", "bound"):
            wish = _ask(wish, request, BudgetExceededError(bound.unpriced, name=budget.name))
        if wish == "block" and budget.is_hard:
            raise BudgetExceededError(
                f"budget '{budget.name}': {bound.unpriced}, and on_unpriced is block",
                name=budget.name, scope=dict(claim.scope), limit=cents(claim.limit.cost), resets_at=None,
            )  # fmt: skip
        if wish == "bound":
            bounded = bound._replace(amount=bounds.highest_rates(request, bound))
    return bounded


def _unavailable(claims: Sequence[tuple[Budget, Claim]], error: LedgerError) -> None:
    """Nobody can count: each budget says whether calls go on."""
    for budget, claim in claims:
        if budget.blocks_when_unavailable:
            raise BudgetExceededError(
                f"budget '{budget.name}' cannot be counted, and on_unavailable is block: {error}",
                name=budget.name, scope=dict(claim.scope), resets_at=None,
            ) from error  # fmt: skip


def _charge(ticket: Ticket, lease: Lease, amount: Amount, unpriced: int) -> None:
    def settle(wait: bool) -> list[Counted]:
        return book.ledger().settle(lease, amount, unpriced=unpriced, wait=wait)

    try:
        counted = settle(not on_event_loop())
    except WouldWait:
        later(lambda: _tell(settle(True)))
        ticket.marks = {NAME: lease.claims[0].budget, COUNTED: tuple(claim.budget for claim in lease.claims)}
        return
    except LedgerError as error:
        faults.report("budgets", str(error))
        later(lambda: _tell(settle(True)))
        return
    ticket.marks = marks_of(counted)
    for one in counted:
        ticket.events += [(WARNING, {"budget": one.claim.budget, "threshold": part}) for part in one.fired]
    _tell(counted)
    alerts.count_overshoot(max(0, amount.cost - lease.bound.cost))


def _tell(counted: Sequence[Counted]) -> None:
    for one in counted:
        alerts.thresholds(one)


def marks_of(counted: Sequence[Counted]) -> dict[str, Any]:
    """Span attributes: the budget that is nearest to its limit, what it has left, and all that counted the call."""
    if not counted:
        return {}
    in_money = [one for one in counted if one.claim.limit.cost is not None]
    tightest = min(in_money, key=_left) if in_money else counted[0]
    marks: dict[str, Any] = {
        NAME: tightest.claim.budget.removeprefix("tree:"),
        COUNTED: tuple(one.claim.budget for one in counted),
    }
    if in_money:
        marks[REMAINING] = float(cents(max(0, _left(tightest))))
    return marks


def is_full(one: Counted) -> bool:
    """Whether what is settled has reached a limit."""
    return any(limit is not None and used >= limit for used, limit in zip(one.settled, one.claim.limit, strict=True))


def _left(one: Counted) -> int:
    return (one.claim.limit.cost or 0) - one.settled.cost - one.reserved.cost


def _give_back(waiting: Any) -> None:
    """A call was given up while it waited for room: what it got is free again."""
    if not waiting.cancelled() and waiting.exception() is None:
        waiting.result().settle({"cost_status": "not_billed"})


def _renew_now_and_then() -> None:
    """Leases of calls that take long are renewed by those that come after, well before they expire."""
    global _renewed_at
    now = time.monotonic()
    if now - _renewed_at < LEASE_SECONDS / 5:
        return
    _renewed_at = now
    held = [ticket.lease.id for ticket in list(_open.values()) if ticket.lease is not None]
    later(lambda: book.ledger().renew(held))
    later(lambda: book.ledger().checkpoint())


def _request(values: Values, body: Mapping[str, Any], size: int) -> Request:
    tier = values.get("requested_tier") or values.get("pricing_tier") or "standard"
    return Request(
        values.get("provider") or "", values.get("model") or "", values.get("model_type") or "text", tier, body, size
    )


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _shown(kind: str, amount: int) -> str:
    if kind != "cost":
        return f"{amount} {kind}"
    return f"${(cents(amount) / 100).normalize():f}"


def _moment(end: int | None) -> Any:
    from spectra_otel.budgets.windows import Window

    return Window(0, end).resets_at


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(8, thread_name_prefix="spectra-budgets")
    return _pool


def _forget_in_child() -> None:
    global _pool
    _pool = None
    _by_span.clear()
    _open.clear()


in_forked_child(_forget_in_child)
atexit.register(flush)
