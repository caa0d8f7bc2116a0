"""Tree budgets: ``with spectra_otel.budget("run", usd=2)``, and everything that is started inside draws on it.

The budget travels as one entry of OpenTelemetry baggage: tasks inherit it, HTTP instrumentation carries it to other services, and
threads and executors that are started inside get it from us. A nested one draws on its parents, too.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from opentelemetry import baggage
from opentelemetry import context as context_api

from spectra_otel.budgets.amounts import Limit, parse_money, units
from spectra_otel.budgets.book import TREE_KEY, book
from spectra_otel.budgets.definition import Budget, LimitConfig
from spectra_otel.budgets.windows import RUN
from spectra_otel.errors import ConfigError
from spectra_otel.tracking.context import detach

if TYPE_CHECKING:
    from spectra_otel.budgets.ledger import BucketState, Claim

DEEPEST = 16
"""Budgets within budgets; further ones that baggage names are left out."""
_LONGEST = 4096
_lock = threading.Lock()
_is_carried = False


class Tree:
    """One tree budget under way."""

    def __init__(self, name: str, id_: str, limit: Limit) -> None:
        self.name = name
        self.id = id_
        self.limit = limit

    def state(self) -> BucketState:
        """What has been counted so far. Raises :class:`LedgerError`."""
        return book.ledger().state((self.name, self.id, RUN, _began(self.id)))


@contextmanager
def budget(
    name: str, *, usd: float | str | None = None, tokens: int | None = None, requests: int | None = None
) -> Iterator[Tree]:
    """A block whose calls, wherever they are made, may cost no more than this together.

    Raises :class:`ConfigError` for a limit that is none; inside, calls without room raise :class:`BudgetExceededError`.
    """
    checked = Budget(name, LimitConfig(None if usd is None else str(usd), tokens, requests), "total")
    checked.validate()
    limit = Limit(None if usd is None else units(parse_money("usd", usd)), tokens, requests)
    tree = Tree(f"tree:{name}", f"{int(time.time()):x}-{os.urandom(8).hex()}", limit)
    entry = ":".join((quote(name, safe=""), tree.id, *("" if part is None else str(part) for part in limit)))
    carried = baggage.get_baggage(TREE_KEY)
    _carry_into_threads()
    token = context_api.attach(baggage.set_baggage(TREE_KEY, f"{carried};{entry}" if carried else entry))
    try:
        yield tree
    finally:
        detach(token)


def claims() -> list[tuple[Budget, Claim]]:
    """What a call made here draws on, from the outermost budget to the innermost."""
    carried = baggage.get_baggage(TREE_KEY)
    if not isinstance(carried, str):
        return []
    return [found for entry in carried[:_LONGEST].split(";")[:DEEPEST] if (found := _claim_of(entry)) is not None]


@functools.lru_cache(maxsize=1024)
def _claim_of(entry: str) -> tuple[Budget, Claim] | None:
    """The claim of one entry; None for one that is not ours to read, for baggage comes from anywhere."""
    from spectra_otel.budgets.ledger import Claim

    try:
        name, id_, *limits = entry.split(":")
        cost, tokens, requests = (int(text) if text else None for text in limits)
        name = unquote(name)
        definition = Budget(
            name, LimitConfig(None if cost is None else f"{cost / 10**10:.10f}", tokens, requests), "total"
        )
        definition.validate()
        began = _began(id_)
    except (ValueError, ConfigError):
        return None
    scope = (("run", id_),)
    return definition, Claim(f"tree:{name}", id_[:64], RUN, began, Limit(cost, tokens, requests), True, (), None, scope)


def _began(id_: str) -> int:
    """When a run began, which its id begins with: by that it is forgotten some day. Raises :class:`ValueError`."""
    began = int(id_.partition("-")[0], 16)
    if not 0 < began < time.time() + 86400:
        raise ValueError(f"no run begins at {began}")
    return began


def _carry_into_threads() -> None:
    """From the first tree budget on, threads and executors take the baggage of whoever starts them along."""
    global _is_carried
    with _lock:
        if _is_carried:
            return
        _is_carried = True
    start: Any = threading.Thread.start
    submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(start)
    def carrying_start(thread: threading.Thread) -> None:
        carried = baggage.get_baggage(TREE_KEY)
        if carried is not None:
            thread.run = _inside(carried, thread.run)  # type: ignore[method-assign]
        start(thread)

    @functools.wraps(submit)
    def carrying_submit(pool: ThreadPoolExecutor, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        carried = baggage.get_baggage(TREE_KEY)
        return submit(pool, call if carried is None else _inside(carried, call), *args, **kwargs)

    threads: Any = threading.Thread
    pools: Any = ThreadPoolExecutor
    threads.start, pools.submit = carrying_start, carrying_submit


def _inside(carried: object, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = context_api.attach(baggage.set_baggage(TREE_KEY, carried))
        try:
            return call(*args, **kwargs)
        finally:
            context_api.detach(token)

    return run
