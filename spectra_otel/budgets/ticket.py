"""A call that budgets let through: what it may deliver, and what it is charged once it is over.

A ticket is settled once, whoever comes first: the `budget` processor with the priced record, or the instrumentor with what the
wire said. One that was lent to a call which then turns out not to be one gives everything back.
"""

from __future__ import annotations

import atexit
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from spectra_otel import faults, pricing
from spectra_otel.budgets import alerts, bounds
from spectra_otel.budgets.amounts import MOST_CENTS, MOST_TOKENS, Amount, cents, units
from spectra_otel.budgets.answers import error_of
from spectra_otel.budgets.book import book, on_event_loop
from spectra_otel.budgets.bounds import Bound, Request
from spectra_otel.budgets.ledger import LEASE_SECONDS, Claim, Counted, Lease, Refusal, WouldWait
from spectra_otel.errors import LedgerError
from spectra_otel.forks import in_forked_child

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from spectra_otel.budgets.ledger import Ledger

Values = Mapping[str, Any]
NAME, REMAINING, COUNTED = "spectra.budget.name", "spectra.budget.remaining_cents", "spectra.budget.counted"
LEDGER = "spectra.budget.ledger"
BLOCKED = "spectra.budget.blocked"
CHARGED = "spectra.budget.charged"
"""Of a job under way: cost and tokens that the budgets were charged until it is known what it took, and the call's floor."""
WARNING, EXCEEDED = "spectra.budget.warning", "spectra.budget.exceeded"
LEAST_STEP = 64
"""A stream is not extended by fewer tokens than this."""
TEND_SECONDS = 1.0
"""How often the log of a ledger's file is looked at while calls are made."""
_MOST_OPEN = 100_000
_by_span: dict[tuple[int, int], Ticket] = {}
_open: dict[int, Ticket] = {}
_owed: deque[Callable[[], object]] = deque(maxlen=_MOST_OPEN)
_is_used = False
_tender: Thread | None = None
_pool: ThreadPoolExecutor | None = None


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
        self.is_for_job = False
        """The answer is a job: until that is done, nobody knows what the call takes, and it is charged its bound."""
        self._once = Lock()
        self._key: tuple[int, int] | None = None
        self._room = bound.output * bounds.CHARACTERS_PER_TOKEN
        self._asking: Future[list[Refusal]] | None = None
        if lease is not None:
            self.events += [(EXCEEDED, {"budget": r.claim.budget, "kind": r.kind}) for r in lease.exceeded]
            _open[id(self)] = self
            pay_soon()
            tend()

    @property
    def claims(self) -> Sequence[Claim]:
        """What the call draws on."""
        return self.lease.claims if self.lease is not None else ()

    def delivered(self, characters: int) -> None:
        """So much of a stream is delivered. Raises :class:`BudgetExceededError` where it outgrows what there is room for."""
        if characters <= self._room or self.lease is None or not self.bound.grows:
            return
        try:
            refused = self._extend(self.lease, bounds.STREAM_STEP)
        except WouldWait:
            return  # the next piece asks again
        except LedgerError as error:
            faults.report("budgets", str(error))
            return
        if refused:
            cut = error_of(refused, "the stream was cut: ")
            cut.partial = {"characters": characters}
            raise cut

    def _extend(self, lease: Lease, step: int) -> list[Refusal]:
        """Get room for ``step`` more tokens of output, or for as many as there are; an event loop has a thread ask for it."""
        if self._asking is None:
            try:
                return self._ask_for(lease, step, not on_event_loop())
            except WouldWait:
                self._asking = threads().submit(self._ask_for, lease, step, True)
        if not self._asking.done():
            raise WouldWait
        asked, self._asking = self._asking, None
        return asked.result()

    def _ask_for(self, lease: Lease, step: int, wait: bool) -> list[Refusal]:
        more = self._more(step)
        refused = book.ask(lambda ledger: ledger.extend(lease, more, wait=wait))
        if refused:
            step = min(step * (r.limit - r.settled - r.reserved) // r.wanted for r in refused)
            if step >= LEAST_STEP:
                less = more = self._more(step)
                refused = book.ask(lambda ledger: ledger.extend(lease, less, wait=wait))
        if not refused:
            amount = Amount(*(a + b for a, b in zip(self.bound.amount, more, strict=True)))
            self.bound = self.bound._replace(amount=amount, output=self.bound.output + step)
            self._room += step * bounds.CHARACTERS_PER_TOKEN
        return refused

    def _more(self, step: int) -> Amount:
        further = bounds.upper_bound(self.request, cap=self.bound.output + step).amount
        return Amount(max(0, further.cost - self.bound.amount.cost), step, 0)

    def release(self) -> None:
        """There was no such call, or it has a ticket of its own: what was reserved is free again. Never raises."""
        self.settle({"cost_status": "not_billed"})

    def give_way(self, wait: bool) -> None:
        """:meth:`release`, done when this returns. Raises :class:`WouldWait` and :class:`LedgerError`, having done nothing."""
        lease = self.lease
        if lease is not None and self._once.acquire(blocking=False):
            try:
                book.ask(lambda ledger: ledger.settle(lease, Amount(), wait=wait))
            except BaseException:
                self._once.release()
                raise
            self.settled = Amount()
            _open.pop(id(self), None)
            if self._key is not None and _by_span.get(self._key) is self:
                del _by_span[self._key]

    def charged(self) -> dict[str, Any]:
        """What whoever learns how the job ended must know: the budgets that counted it, and what they were charged."""
        if self.settled is None or not self.claims:
            return {}
        return {**who_counted(self.claims), CHARGED: [*self.settled[:2], *self.bound.floor[:2]]}

    def close(self) -> None:
        """Nobody will say what became of the call: it is charged its floor."""
        if self.settled is None:
            self.settle({"cost_status": "billed_unknown"})

    def leave(self, context: SpanContext) -> None:
        """Have whoever sees that span end settle it, with the priced record."""
        if len(_by_span) >= _MOST_OPEN and (oldest := _by_span.pop(next(iter(_by_span)), None)) is not None:
            oldest.close()
        self._key = context.trace_id, context.span_id
        _by_span[self._key] = self

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
        owe(lambda: book.ledger().correct(lease.claims, difference))

    def _actual(self, values: Values) -> tuple[Amount, int]:
        """What a record charges, and whether its cost is unknown."""
        status = values.get("cost_status")
        if status == "not_billed":
            return Amount(), 0
        tokens, cost = tokens_of(values), cost_of(values)
        if status == "billed_unknown":
            return (self.bound.amount if self.is_for_job else self.bound.floor), 0
        if cost is not None:
            return Amount(units(cost), tokens if tokens is not None else 0, 1), 0
        # Its cost is not known: what was set aside for it is charged, never nothing.
        return Amount(self.bound.amount.cost, tokens if tokens is not None else self.bound.amount.tokens, 1), 1


def take(context: SpanContext | None) -> Ticket | None:
    """The ticket of the call that a span stands for, once."""
    if context is None or not _by_span:
        return None
    return _by_span.pop((context.trace_id, context.span_id), None)


def are_left() -> bool:
    """Whether tickets wait for the ends of spans."""
    return bool(_by_span)


def holds_one(context: SpanContext) -> bool:
    """Whether a call of that span was let through already."""
    return (context.trace_id, context.span_id) in _by_span


def held_here() -> tuple[Ticket, ...]:
    """The ticket that the current span keeps for a call which may be the one that asks now."""
    if not _by_span:
        return ()
    context = trace.get_current_span().get_span_context()
    ticket = _by_span.get((context.trace_id, context.span_id))
    return () if ticket is None else (ticket,)


def later(call: Callable[[], object]) -> None:
    """Have ``call`` done off the call path; it may wait for the ledger there."""
    alerts.worker().put(call)


def owe(call: Callable[[], object]) -> None:
    """Have ``call`` done off the call path, and again when the ledger can be used, as long as it raises :class:`LedgerError`."""
    _owed.append(call)
    later(pay)


def pay() -> None:
    """Do what is owed, as far as the ledger can be used."""
    while _owed and book.problem is None:
        try:
            call = _owed.popleft()
        except IndexError:  # another thread was quicker
            return
        try:
            call()
        except LedgerError as error:
            _owed.appendleft(call)
            faults.report("budgets", str(error))
            if error.__cause__ is not None:
                book.problem = error
            return
        except Exception as error:
            faults.report("budgets", error)


def pay_soon() -> None:
    """The ledger can be used: have done what is owed, if anything is."""
    if _owed:
        later(pay)


def flush() -> None:
    """Have done what was put off."""
    if _owed and book.problem is not None:
        later(book.refresh)
    pay_soon()
    alerts.flush(10.0, posts=False)


def cost_of(values: Values) -> Decimal | None:
    """What a record costs in cents of a US dollar: as it says, or as the catalog does; None where nobody knows.

    A figure that no call costs is one that nobody knows: no number at all, less than nothing, or more than a ledger can hold.
    """
    cost = _cost_of(values)
    return cost if cost is not None and cost.is_finite() and 0 <= cost <= MOST_CENTS else None


def _cost_of(values: Values) -> Decimal | None:
    known = values.get("total_cost_in_cents")
    if known is not None and values.get("currency") in (None, "USD"):
        return Decimal(known)
    if values.get("cost_status") in ("free", "cache_hit"):
        return Decimal(0)
    said = values.get("provider_cost_usd")
    if said is not None:
        return Decimal(repr(said)) * 100
    if values.get("error_type") == "usage_inconsistent":
        return None
    names = (values.get("snapshot"), values.get("model"))
    for name in reversed(names) if values.get("provider") == "bedrock" else names:  # whose ids have the region in them
        if name:
            tier = values.get("pricing_tier")
            found = pricing.calculate(
                values.get("provider") or "", name, values, pricing_tier=tier, at=values.get("started_at"),
                account=values.get("provider_account"),
            )  # fmt: skip
            if found.total_cost_in_cents is not None:
                return found.total_cost_in_cents
    return None


def tokens_of(values: Values) -> int | None:
    """All tokens of a record; None where nobody knows."""
    total: int | None = values.get("total_tokens")
    if total is None:
        parts = [values.get("prompt_tokens"), values.get("completion_tokens")]
        total = sum(part or 0 for part in parts) if any(part is not None for part in parts) else None
    return total if total is not None and 0 <= total <= MOST_TOKENS else None


def settle_job(values: Values, said: Mapping[str, Any], wait: bool) -> None:
    """A job is done: its budgets are charged what it took in place of what :meth:`Ticket.charged` ``said``.

    One that may have been billed though it failed is charged its floor, as other calls are; where no price is known, all stays
    as it is. Raises :class:`WouldWait` and :class:`LedgerError`.
    """
    names, charged, started = counted_here(said), said.get(CHARGED), values.get("started_at")
    if not names or not charged or started is None:
        return
    status, known = values.get("cost_status"), cost_of(values)
    if status == "not_billed":
        actual = Amount()
    elif status == "billed_unknown":
        actual = Amount(charged[2], charged[3], 1)
    elif known is not None:
        actual = Amount(units(known), tokens_of(values) or 0, 1)
    else:
        return
    difference = Amount(actual.cost - charged[0], actual.tokens - charged[1], actual.requests - 1)
    claims = [claim for _, claim in book.claims(values, started.timestamp(), wait) if claim.budget in names]
    owe(lambda: book.ledger().correct(claims, difference))


def _charge(ticket: Ticket, lease: Lease, amount: Amount, unpriced: int) -> None:
    def settle(ledger: Ledger, wait: bool = True) -> list[Counted]:
        counted = ledger.settle(lease, amount, unpriced=unpriced, wait=wait)
        for one in counted:
            alerts.thresholds(one)
        alerts.count_overshoot(max(0, amount.cost - lease.bound.cost))
        return counted

    try:
        counted = book.ask(lambda ledger: settle(ledger, not on_event_loop()))
    except WouldWait:
        owe(lambda: settle(book.ledger()))
        ticket.marks = {NAME: lease.claims[0].budget, **who_counted(lease.claims)}
        return
    except LedgerError as error:
        faults.report("budgets", str(error))
        owe(lambda: settle(book.ledger()))
        ticket.marks = who_counted(lease.claims)
        return
    ticket.marks = marks_of(counted)
    for one in counted:
        ticket.events += [(WARNING, {"budget": one.claim.budget, "threshold": part}) for part in one.fired]


def marks_of(counted: Sequence[Counted]) -> dict[str, Any]:
    """Span attributes: the budget that is nearest to its limit, what it has left, and all that counted the call."""
    if not counted:
        return {}
    in_money = [one for one in counted if one.claim.limit.cost is not None]
    tightest = min(in_money, key=_left) if in_money else counted[0]
    marks: dict[str, Any] = {
        NAME: tightest.claim.budget.removeprefix("tree:"),
        **who_counted([one.claim for one in counted]),
    }
    if in_money:
        marks[REMAINING] = float(cents(max(0, _left(tightest))))
    return marks


def who_counted(claims: Sequence[Claim]) -> dict[str, Any]:
    """Span attributes: the budgets that counted a call, and in which ledger, for another may have budgets of the same names."""
    identity = book.ledger().identity
    return {COUNTED: tuple(claim.budget for claim in claims), **({LEDGER: identity} if identity else {})}


def counted_here(said: Mapping[str, Any]) -> Collection[str]:
    """The budgets of this ledger that counted a call, by its span's attributes."""
    if said.get(LEDGER) not in (None, book.ledger().identity):
        return ()
    return said.get(COUNTED) or ()


def _left(one: Counted) -> int:
    return (one.claim.limit.cost or 0) - one.settled.cost - one.reserved.cost


def tend() -> None:
    """Have leases renewed as long as their calls last, and the ledger tidied up while it is used."""
    global _is_used, _tender
    _is_used = True
    if _tender is None or not _tender.is_alive():
        _tender = Thread(target=_tend, name="spectra-leases", daemon=True)
        try:
            _tender.start()
        except RuntimeError:  # the interpreter goes down
            return


def _tend() -> None:
    global _is_used, _tender
    renew_at = time.monotonic() + LEASE_SECONDS / 5
    while _open or _is_used:
        _is_used = False
        time.sleep(TEND_SECONDS)
        later(lambda: book.ledger().checkpoint())
        if time.monotonic() < renew_at:
            continue
        renew_at = time.monotonic() + LEASE_SECONDS / 5
        held = [ticket.lease.id for ticket in list(_open.values()) if ticket.lease is not None]
        if held:
            later(partial(_renew, held))
    _tender = None
    if _open or _is_used:  # since we looked
        tend()


def _renew(leases: Sequence[int]) -> None:
    book.ledger().renew(leases)


def threads() -> ThreadPoolExecutor:
    """Threads that wait for the ledger in place of an event loop."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(8, thread_name_prefix="spectra-budgets")
    return _pool


def _forget_in_child() -> None:
    global _pool, _tender
    _pool = _tender = None
    _by_span.clear()
    _open.clear()
    _owed.clear()


in_forked_child(_forget_in_child)
atexit.register(flush)
