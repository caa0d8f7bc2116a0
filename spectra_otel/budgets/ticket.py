"""A call that budgets let through: what it may deliver, and what it is charged once it is over.

A ticket is settled once, whoever comes first: the `budget` processor with the priced record, or the instrumentor with what the
wire said. One that was lent to a call which then turns out not to be one gives everything back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from spectra_otel import faults
from spectra_otel.budgets import alerts, bounds
from spectra_otel.budgets.amounts import Amount, units
from spectra_otel.budgets.answers import error_of
from spectra_otel.budgets.book import book, on_event_loop
from spectra_otel.budgets.bounds import Bound, Request
from spectra_otel.budgets.ledger import RENEW_SECONDS, Claim, Counted, Lease, Refusal, WouldWait
from spectra_otel.budgets.marks import CHARGED, EXCEEDED, NAME, WARNING, counted_here, marks_of, who_counted
from spectra_otel.budgets.owed import later, owe, pay_soon, threads
from spectra_otel.budgets.used import cost_of, tokens_of
from spectra_otel.errors import LedgerError
from spectra_otel.forks import in_forked_child

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from spectra_otel.budgets.ledger import Ledger

Values = Mapping[str, Any]
LEAST_STEP = 64
"""A stream is not extended by fewer tokens than this."""
TEND_SECONDS = 1.0
"""How often the log of a ledger's file is looked at while calls are made."""
_MOST_OPEN = 100_000
_MAY_BE_REVISED = frozenset({"partial", "estimated", "billed_unknown", "unpriced"})
"""Records of which a later span may know more. Only of these does the ledger keep what they were counted with."""
_by_span: dict[tuple[int, int], Ticket] = {}
_open: dict[int, Ticket] = {}
_is_used = False
_tender: Thread | None = None


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
        self._unpriced = 0
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
                self._correct(amount, unpriced)
                return False
            self.settled, self._unpriced = amount, unpriced
            _open.pop(id(self), None)
            if self.lease is not None:
                is_final = self.is_for_job or not (unpriced or values.get("cost_status") in _MAY_BE_REVISED)
                _charge(self, self.lease, amount, unpriced, "" if is_final else str(values.get("id") or ""))
            return True
        except Exception as error:
            faults.report("budgets", error)
            return False

    def _correct(self, amount: Amount, unpriced: int) -> None:
        before, lease = self.settled, self.lease
        more = unpriced - self._unpriced
        if before is None or lease is None or (amount == before and not more):
            return
        self.settled, self._unpriced = amount, unpriced
        difference = Amount(*(a - b for a, b in zip(amount, before, strict=True)))
        owe(lambda: book.ledger().correct(lease.claims, difference, unpriced=more))

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


def _charge(ticket: Ticket, lease: Lease, amount: Amount, unpriced: int, record: str) -> None:
    def settle(ledger: Ledger, wait: bool = True) -> list[Counted]:
        counted = ledger.settle(lease, amount, unpriced=unpriced, record=record, wait=wait)
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
    renew_at = time.monotonic() + RENEW_SECONDS
    while _open or _is_used:
        _is_used = False
        time.sleep(TEND_SECONDS)
        later(_checkpoint)
        if time.monotonic() < renew_at:
            continue
        renew_at = time.monotonic() + RENEW_SECONDS
        held = [ticket.lease.id for ticket in list(_open.values()) if ticket.lease is not None]
        if held:
            later(partial(_renew, held))
    _tender = None
    if _open or _is_used:  # since we looked
        tend()


def _checkpoint() -> None:
    if (ledger := book.opened) is not None:
        ledger.checkpoint()


def _renew(leases: Sequence[int]) -> None:
    if (ledger := book.opened) is not None:
        ledger.renew(leases)


def _forget_in_child() -> None:
    global _tender
    _tender = None
    _by_span.clear()
    _open.clear()


in_forked_child(_forget_in_child)
