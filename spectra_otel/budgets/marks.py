"""Span attributes and events of budgets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from spectra_otel.budgets.amounts import cents
from spectra_otel.budgets.book import book
from spectra_otel.budgets.ledger import Claim, Counted

NAME, REMAINING, COUNTED = "spectra.budget.name", "spectra.budget.remaining_cents", "spectra.budget.counted"
LEDGER = "spectra.budget.ledger"
BLOCKED = "spectra.budget.blocked"
CHARGED = "spectra.budget.charged"
"""Of a job under way: cost and tokens that the budgets were charged until it is known what it took, and the call's floor."""
WARNING, EXCEEDED = "spectra.budget.warning", "spectra.budget.exceeded"


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
