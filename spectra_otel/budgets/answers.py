"""A budget's no, as others see it: whether an error comes of one, and the HTTP answer of an app that passes it on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spectra_otel.budgets.amounts import cents
from spectra_otel.budgets.windows import Window
from spectra_otel.errors import BudgetExceededError
from spectra_otel.tracking import context

if TYPE_CHECKING:
    from spectra_otel.budgets.ledger import Refusal

HEADER = "x-spectra-budget"
ERROR_TYPE = "budget_exceeded"
_DEEPEST = 20


def error_of(refused: Sequence[Refusal], prefix: str = "") -> BudgetExceededError:
    """The error for refusals: of the budget that is full for longest."""
    worst = max(refused, key=lambda refusal: refusal.claim.end or float("inf"))
    claim = worst.claim
    resets_at = Window(0, claim.end).resets_at
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


def _shown(kind: str, amount: int) -> str:
    if kind != "cost":
        return f"{amount} {kind}"
    return f"${(cents(amount) / 100).normalize():f}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came of, as far as Python knows."""
    seen: BaseException | None = error
    for _ in range(_DEEPEST):  # causes may form a ring
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def is_sdk_error_of_budget(error: BaseException) -> bool:
    """Whether an SDK made this error of the 429 that a budget answered with."""
    return any(
        (headers := getattr(getattr(one, "response", None), "headers", None)) is not None and headers.get(HEADER)
        for one in causes(error)
    )


def block_behind(error: BaseException, blocks: Sequence[BudgetExceededError]) -> BudgetExceededError | None:
    """The block that an error comes of; ``blocks`` are those that happened here. None for an error of another kind."""
    own = next((one for one in causes(error) if isinstance(one, BudgetExceededError)), None)
    if own is not None:
        return own
    return blocks[-1] if blocks and is_sdk_error_of_budget(error) else None


@contextmanager
def raising_blocks() -> Iterator[list[BudgetExceededError]]:
    """A block out of which a budget's no comes as our exception, whatever an SDK made of it; gives the list of those so far."""
    with context.noticing_blocks() as blocks:
        try:
            yield blocks
        except Exception as error:
            block = block_behind(error, blocks)
            if block is None or block is error:
                raise
            raise block from error


def retry_after(error: BudgetExceededError) -> int | None:
    """Whole seconds until the budget has room again; None where it never will."""
    return max(1, math.ceil(error.resets_at.timestamp() - time.time())) if error.resets_at is not None else None


def headers_of(error: BudgetExceededError) -> dict[str, str]:
    """Headers of a 429 that says which budget it was and when it has room again."""
    headers = {"content-type": "application/json", HEADER: error.name.encode("ascii", "replace").decode()}
    seconds = retry_after(error)
    if seconds is not None:
        headers["retry-after"] = str(seconds)
    return headers
