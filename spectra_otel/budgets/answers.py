"""A budget's no, as others see it: whether an error comes of one, and the HTTP answer of an app that passes it on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from spectra_otel.errors import BudgetExceededError
from spectra_otel.tracking import context

HEADER = "x-spectra-budget"
ERROR_TYPE = "budget_exceeded"
_DEEPEST = 20


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
