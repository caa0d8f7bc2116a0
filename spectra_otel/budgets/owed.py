"""What the ledger is owed, done off the call path: by a thread, and again once a ledger that was gone is back."""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from spectra_otel import faults
from spectra_otel.budgets import alerts
from spectra_otel.budgets.book import book
from spectra_otel.errors import LedgerError
from spectra_otel.forks import in_forked_child

_MOST = 100_000
_owed: deque[Callable[[], object]] = deque(maxlen=_MOST)
_pool: ThreadPoolExecutor | None = None


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


def threads() -> ThreadPoolExecutor:
    """Threads that wait for the ledger in place of an event loop."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(8, thread_name_prefix="spectra-budgets")
    return _pool


def _forget_in_child() -> None:
    global _pool
    _pool = None
    _owed.clear()


in_forked_child(_forget_in_child)
atexit.register(flush)
