"""Budgets for calls that only other people's instrumentation sees: they are asked when the span of such a call starts.

What stops the call is an exception out of ``start_span``, which reaches the app through whoever started the span. So this is for
those who ask for it: ``enforce_on_start`` of the `budget` processor. Spans that the app's sampler drops do not come here.
"""

from __future__ import annotations

from functools import cache

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import Status, StatusCode

from spectra_otel import faults
from spectra_otel.budgets import guard
from spectra_otel.budgets.answers import ERROR_TYPE
from spectra_otel.budgets.book import book
from spectra_otel.budgets.marks import BLOCKED, EXCEEDED, NAME
from spectra_otel.budgets.ticket import holds_one
from spectra_otel.dialects._base import CALL
from spectra_otel.dialects._reader import Readers
from spectra_otel.errors import BudgetExceededError
from spectra_otel.model.spans import handoff
from spectra_otel.tracking import context
from spectra_otel.tracking.spans import SCOPE


def ask(span: Span, parent: Context | None) -> None:
    """Keep a place for the call that ``span`` stands for, until it ends. Raises nothing but :class:`BudgetExceededError`.

    A span of ours has been asked for. One around the call, which keeps a place too, gives way to this one.
    """
    scope = span.instrumentation_scope
    if book.is_idle() or context.is_untracked() or (scope is not None and scope.name == SCOPE):
        return
    token = context_api.attach(parent) if parent is not None else None
    try:
        _ask(span)
    except BudgetExceededError as error:
        _end(span, error)
        raise
    except Exception as error:
        faults.report("budgets", error)
    finally:
        if token is not None:
            context_api.detach(token)


def _ask(span: Span) -> None:
    reader = _readers().claim(span)
    if reader is None:
        return
    role, draft = reader.read(span)
    if role is not CALL or holds_one(span.get_span_context()):
        return
    context.next_span_starts()
    ticket = guard.admit_briefly({**context.known_fields(), **draft.fields}, None)
    if ticket is not None and ticket.lease is not None:
        ticket.leave(span.get_span_context())
        context.span_started(ticket)


def _end(span: Span, error: BudgetExceededError) -> None:
    """The call is not made: its span ends here, and is a record that cost nothing."""
    context.notice_block(error)
    try:
        span.add_event(EXCEEDED, {"budget": error.name})
        span.set_attributes({NAME: error.name, BLOCKED: True})
        span.set_status(Status(StatusCode.ERROR, str(error)))
        outcome = {
            "is_failed": True,
            "error_type": ERROR_TYPE,
            "error_message": str(error),
            "cost_status": "not_billed",
        }
        handoff.leave(span.get_span_context(), outcome)
        span.end()
    except Exception as fault:
        faults.report("budgets", fault)


@cache
def _readers() -> Readers:
    return Readers()
