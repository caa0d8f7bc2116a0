"""Budgets at the HTTP level: whether a request may be sent, and what its SDK sees if it may not.

How a refusal reaches the app is a column of the provider table. ``429`` is an answer in the provider's own shape that its SDK
does not try again; ``raise`` is the exception itself, straight from ``send``, for SDKs that would sleep and retry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from spectra_otel import faults
from spectra_otel.budgets import answers, guard
from spectra_otel.budgets.answers import ERROR_TYPE
from spectra_otel.budgets.marks import BLOCKED, EXCEEDED, NAME
from spectra_otel.budgets.ticket import Ticket
from spectra_otel.errors import BudgetExceededError
from spectra_otel.instrumentors.bodies import is_signed
from spectra_otel.providers.base import Sent
from spectra_otel.tracking import context
from spectra_otel.tracking.request import Request


@dataclass(frozen=True, slots=True)
class Blocked:
    """The answer that an SDK gets in place of the provider's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: BudgetExceededError
    """For clients that cannot be given an answer which no server sent."""


def admit(request: Request, sent: Sent, size: int) -> Blocked | None:
    """Let a request through, or say what its client gets instead. Raises :class:`BudgetExceededError` where the table says so."""
    try:
        ticket = guard.admit(request.values, sent.body, size, may_rewrite=_may_rewrite(sent))
    except BudgetExceededError as error:
        return _refuse(request, sent, error)
    except Exception as error:
        faults.report("budgets", error)
        return None
    _take(request, sent, ticket)
    return None


async def admit_async(request: Request, sent: Sent, size: int) -> Blocked | None:
    """The same on an event loop, which does not wait."""
    try:
        ticket = await guard.admit_async(request.values, sent.body, size, may_rewrite=_may_rewrite(sent))
    except BudgetExceededError as error:
        return _refuse(request, sent, error)
    except Exception as error:
        faults.report("budgets", error)
        return None
    _take(request, sent, ticket)
    return None


def _take(request: Request, sent: Sent, ticket: Ticket) -> None:
    if ticket.lease is None and ticket.body is None:
        return
    request.ticket = ticket
    if ticket.body is not None:
        sent.body = ticket.body
        model = ticket.body.get("model")
        if model:
            request.values["model"] = model
    for name, attributes in ticket.events:
        request.add_event(name, attributes)
    ticket.events.clear()


def _refuse(request: Request, sent: Sent, error: BudgetExceededError) -> Blocked | None:
    """Record the call that was not made, and refuse it the way its SDK understands."""
    record_refusal(request, error)
    if sent.provider.budget_block == "raise":
        raise error
    return answer(error, "anthropic" if sent.provider.name == "anthropic" else "openai")


def record_refusal(request: Request, error: BudgetExceededError, values: Mapping[str, Any] | None = None) -> None:
    """Make the record of a call that was not made: failed, not billed, with what else is known of it. Never raises."""
    context.notice_block(error)
    outcome = {"is_failed": True, "error_type": ERROR_TYPE, "error_message": str(error), "cost_status": "not_billed"}
    try:
        request.add_event(EXCEEDED, {"budget": error.name})
        request.set_attributes({NAME: error.name, BLOCKED: True})
        request.finish({**(values or {}), **outcome})
    except Exception as fault:
        faults.report("budgets", fault)


def answer(error: BudgetExceededError, shape: str = "openai") -> Blocked:
    """A 429 that says which budget it was and when it has room again, in the shape of a provider's errors."""
    headers = {**answers.headers_of(error), "x-should-retry": "false"}
    body: dict[str, Any]
    if shape == "anthropic":
        body = {"type": "error", "error": {"type": "rate_limit_error", "message": str(error)}}
    else:
        body = {"error": {"message": str(error), "type": "insufficient_quota", "param": None, "code": ERROR_TYPE}}
    return Blocked(429, headers, orjson.dumps(body), error)


def _may_rewrite(sent: Sent) -> bool:
    """Whether another body can be sent: this one is JSON, and nobody has signed it."""
    is_json = "json" in (sent.headers.get("content-type") or "")
    return is_json and not is_signed(sent.headers)
