"""Between a call and its budgets: reserve its upper bound before, settle what it cost after.

Instrumentors and ``track`` come here through one seam: :func:`admit` (or :func:`admit_async` on an event loop) gives a
:class:`Ticket` or raises :class:`BudgetExceededError`, and the ticket is settled once, whoever comes first: the `budget`
processor with the priced record, or the instrumentor with what the wire said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as NotYet
from contextvars import copy_context
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spectra_otel import faults
from spectra_otel.budgets import alerts, bounds
from spectra_otel.budgets import ticket as tickets
from spectra_otel.budgets.amounts import cents
from spectra_otel.budgets.answers import error_of
from spectra_otel.budgets.book import book, on_event_loop
from spectra_otel.budgets.bounds import Bound, Request
from spectra_otel.budgets.ledger import Claim, Lease, Refusal, WouldWait
from spectra_otel.budgets.owed import threads
from spectra_otel.budgets.ticket import Ticket
from spectra_otel.errors import BudgetExceededError, LedgerError
from spectra_otel.providers.values import REGION
from spectra_otel.tracking import context

if TYPE_CHECKING:
    from spectra_otel.budgets.definition import Budget

Values = Mapping[str, Any]
REWRITTEN = "spectra.budget.rewritten"
BRIEFLY = 0.0015
"""Seconds for which code on an event loop that cannot await is held up for a ledger that others have."""


def admit(
    values: Values, body: Mapping[str, Any] | None, size: int = 0, *, may_rewrite: bool = True, streams: bool = False
) -> Ticket:
    """Let a call through, or raise :class:`BudgetExceededError`.

    Args:
        values: Record fields known before the call: provider, model, attribution.
        body: The request's body as an object; empty where it cannot be read, None where nothing is said about the call.
        size: Bytes of the body.
        may_rewrite: Whether the caller can send another body, as ``fit`` and ``switch`` want.
        streams: Whether a call about which nothing is said tells what it delivers, so that its lease can grow.
    """
    return _admit(values, body, size, may_rewrite, streams, wait=True)


async def admit_async(
    values: Values, body: Mapping[str, Any] | None, size: int = 0, *, may_rewrite: bool = True, streams: bool = False
) -> Ticket:
    """:func:`admit` for an event loop: one try without waiting, then on a thread."""
    if not on_event_loop():
        return admit(values, body, size, may_rewrite=may_rewrite, streams=streams)
    try:
        return _admit(values, body, size, may_rewrite, streams, wait=False)
    except WouldWait:
        pass
    here = copy_context()  # where tree budgets are
    waiting = threads().submit(here.run, _admit, values, body, size, may_rewrite, streams, True)
    try:
        return await asyncio.shield(asyncio.wrap_future(waiting))
    except asyncio.CancelledError:
        waiting.add_done_callback(_give_back)
        raise


def admit_briefly(values: Values, body: Mapping[str, Any] | None, *, streams: bool = False) -> Ticket | None:
    """:func:`admit` for code that cannot await and may be on an event loop, which it holds up for :data:`BRIEFLY`.

    None where the ledger did not answer by then: the call goes on, and is counted when it is over.
    """
    if not on_event_loop():
        return admit(values, body, may_rewrite=False, streams=streams)
    try:
        return _admit(values, body, 0, False, streams, wait=False)
    except WouldWait:
        pass
    waiting = threads().submit(copy_context().run, _admit, values, body, 0, False, streams, True)
    try:
        return waiting.result(BRIEFLY)
    except NotYet:
        waiting.add_done_callback(_give_back)
        return None


# -- inside ------------------------------------------------------------------------------------------------------------


def _admit(
    values: Values, body: Mapping[str, Any] | None, size: int, may_rewrite: bool, streams: bool, wait: bool
) -> Ticket:
    claims = book.claims(values, time.time(), wait)
    request = _request(values, body or {}, size)
    if book.problem is not None:
        _unavailable(claims, book.problem)
        return Ticket(None, Bound(), request)
    if not claims:
        return Ticket(None, Bound(), request)
    bound = bounds.upper_bound(request) if body is not None else bounds.unsaid(request, streams)
    _check_allowed(claims, values)
    if not wait and (bound.unpriced or any(budget.on_exceeded != "block" for budget, _ in claims)):
        raise WouldWait  # what the app's own functions and a search for what fits take is not for an event loop
    if bound.unpriced:
        bound = _without_price(claims, request, bound)
    try:
        for lent in (*context.lent(), *tickets.held_here()):
            lent.give_way(wait)
        found = _reserve(claims, bound, wait)
        if not isinstance(found, Lease):
            return _no_room(claims, values, request, found, may_rewrite and bool(body), wait)
    except LedgerError as error:
        _unavailable(claims, error)
        return Ticket(None, bound, request)
    return _ticket(found, bound, request)


def _reserve(claims: Sequence[tuple[Budget, Claim]], bound: Bound, wait: bool) -> Lease | list[Refusal]:
    drawn = [claim for _, claim in claims]
    return book.ask(lambda ledger: ledger.reserve(drawn, bound.amount, bound.floor, wait=wait))


def _ticket(lease: Lease, bound: Bound, request: Request) -> Ticket:
    for refusal in lease.exceeded:
        alerts.exceeded(refusal, blocked=False)
    return Ticket(lease, bound, request)


def _no_room(
    claims: Sequence[tuple[Budget, Claim]],
    values: Values,
    request: Request,
    refused: list[Refusal],
    may_rewrite: bool,
    wait: bool,
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
        ticket = _switch(values, request, wish.removeprefix("switch:"), wait)
    for refusal in refused:
        alerts.exceeded(refusal, blocked=ticket is None)
    if ticket is None:
        raise error
    return ticket


def _fit(claims: Sequence[tuple[Budget, Claim]], request: Request, refused: list[Refusal], wait: bool) -> Ticket | None:
    """The same call with its output limited to what there is room for."""
    room: dict[str, int] = {}
    for r in refused:
        left = r.limit - r.settled - r.reserved
        room[r.kind] = min(left, room.get(r.kind, left))
    if "requests" in room:
        return None
    before = bounds.upper_bound(request)
    low, high = 0, before.output
    while high - low > 1:  # the cost rises with the output, so the largest that fits is found by halving
        middle = (low + high) // 2
        amount = bounds.upper_bound(request, cap=middle).amount
        fits = all(getattr(amount, kind) <= most for kind, most in room.items())
        low, high = (middle, high) if fits else (low, middle)
    if low < bounds.least_output(request.body):
        return None
    body = bounds.with_output_limit(request.body, low, request.provider)
    smaller = request._replace(body=body)
    ticket = _again(claims, smaller, wait)
    if ticket is not None:
        ticket.events.append((REWRITTEN, {"max_tokens.before": before.output, "max_tokens.after": low}))
    return ticket


def _switch(values: Values, request: Request, model: str, wait: bool) -> Ticket | None:
    """The same call to another model of the same provider, where the budgets that apply to that one have room and allow it."""
    if model == request.model:
        return None
    claims = book.claims({**values, "model": model}, time.time(), wait)
    if any(budget.is_hard and not budget.allows(values.get("provider"), model) for budget, _ in claims):
        return None
    ticket = _again(claims, request._replace(model=model, body={**request.body, "model": model}), wait)
    if ticket is not None:
        ticket.events.append((REWRITTEN, {"model.before": request.model, "model.after": model}))
    return ticket


def _again(claims: Sequence[tuple[Budget, Claim]], request: Request, wait: bool) -> Ticket | None:
    bound = bounds.upper_bound(request)
    if not claims:
        ticket = Ticket(None, bound, request)
    elif bound.unpriced or not isinstance(found := _reserve(claims, bound, wait), Lease):
        return None
    else:
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
    if claims:
        faults.report("budgets", str(error))
    for budget, claim in claims:
        if budget.blocks_when_unavailable:
            raise BudgetExceededError(
                f"budget '{budget.name}' cannot be counted, and on_unavailable is block: {error}",
                name=budget.name, scope=dict(claim.scope), resets_at=None,
            ) from error  # fmt: skip


def _give_back(waiting: Any) -> None:
    """A call was given up while it waited for room: what it got is free again."""
    if not waiting.cancelled() and waiting.exception() is None:
        waiting.result().settle({"cost_status": "not_billed"})


def _request(values: Values, body: Mapping[str, Any], size: int) -> Request:
    tier = values.get("requested_tier") or values.get("pricing_tier") or "standard"
    return Request(
        values.get("provider") or "", values.get("model") or "", values.get("model_type") or "text", tier, body, size,
        values.get("provider_account") or "", values.get("endpoint") or "", values.get(REGION),
    )  # fmt: skip


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
