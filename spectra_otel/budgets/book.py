"""The budgets of this process: those its configuration names, and those that people and programs put into the ledger.

Without any, nothing is opened: the call path asks :meth:`Book.is_idle`, and once a second that looks whether a ledger has come.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import baggage

from spectra_otel import faults
from spectra_otel.errors import ConfigError, LedgerError, SpectraError
from spectra_otel.forks import in_forked_child

if TYPE_CHECKING:
    from spectra_otel.budgets.definition import Budget
    from spectra_otel.budgets.ledger import Claim, Ledger

T = TypeVar("T")
LOOK_SECONDS = 1.0
"""How soon a change that another process made is seen; twice that where calls overtake a look."""
TREE_KEY = "spectra.budget"
"""The baggage entry that carries tree budgets."""
CONFIG, CLI, PYTHON = "config", "cli", "python"


class Book:
    """Which budgets hold here. Thread-safe; what the ledger cannot tell is reported, and what was known stays."""

    def __init__(self) -> None:
        self._fresh()
        in_forked_child(self._fresh_lock)

    def _fresh_lock(self) -> None:
        self._lock = Lock()
        self._is_looking = False

    def _fresh(self) -> None:
        self._fresh_lock()
        self._configured: dict[str, Budget] = {}
        self._known: dict[str, Budget] = {}
        self._look_at = 0.0
        self._revision = -1
        self._identity = ""
        self._url = ""
        self._ledger: Ledger | None = None
        self.is_unread = False
        """Whether there is a ledger that nobody has looked at yet, because an event loop must not wait for it."""
        self.asks_at_start = False
        """Whether calls that only other people's spans tell of are stopped, too."""
        self.problem: LedgerError | None = None
        """Why the ledger could not be used when it was last asked."""

    def reset(self) -> None:
        """Forget everything that is known, not what is in the ledger."""
        self._fresh()

    def is_idle(self) -> bool:
        """Whether no budget can apply to a call made here. Quick: every call asks."""
        if self._known or baggage.get_baggage(TREE_KEY) is not None:
            return False
        self._look_now_and_then()
        return not (self._known or self.is_unread)

    def configure(self, budgets: Iterable[Budget]) -> None:
        """Budgets of the configuration, in place of those it had before. Nothing is opened before a call needs it."""
        with self._lock:
            self._configured = {budget.name: budget for budget in budgets}
            self._known = {name: budget for name, budget in self._configured.items() if budget.enabled}
            self._revision = -1
            self._look_at = 0.0

    def budgets(self) -> list[Budget]:
        """Those that hold now."""
        self._look_now_and_then()
        return list(self._known.values())

    @property
    def opened(self) -> Ledger | None:
        """The ledger, if it is in use: for what tidies up behind calls, and must open none that nobody asked for."""
        return self._ledger

    def ledger(self) -> Ledger:
        """The ledger, opened when it is first needed."""
        from spectra_otel.budgets.ledger import ledger_url, open_ledger

        if self._ledger is None:
            self._url = ledger_url()
            try:
                self._ledger = open_ledger(self._url)
            except ConfigError as error:  # each budget's on_unavailable decides
                raise LedgerError(str(error)) from None
        return self._ledger

    def ask(self, call: Callable[[Ledger], T]) -> T:
        """What ``call`` gets of the ledger. Where that cannot be used nobody waits for it until it was looked at again.

        Raises :class:`LedgerError`.
        """
        problem = self.problem
        if problem is not None:
            raise LedgerError(str(problem)) from problem
        try:
            return call(self.ledger())
        except LedgerError as error:
            if error.__cause__ is not None:  # not a budget that the ledger cannot count, but the ledger itself
                self.problem = error
            raise

    def claims(self, values: Mapping[str, Any], moment: float, wait: bool = True) -> list[tuple[Budget, Claim]]:
        """What a call with these record fields draws on, tree budgets included.

        Raises :class:`WouldWait` where the ledger must be read for that and ``wait`` is false.
        """
        from spectra_otel.budgets import tree

        self._look_now_and_then()
        if self.is_unread:
            if not wait:
                from spectra_otel.budgets.ledger import WouldWait

                raise WouldWait
            self.refresh()
        found = [(b, _claim(b, values, moment)) for b in list(self._known.values()) if b.applies(values)]
        return found + tree.claims()

    def _look_now_and_then(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        # Others go meanwhile by what is known, if that is not older: after a pause, and at first, they wait for the look.
        is_old = self.problem is None and now >= self._look_at + LOOK_SECONDS
        if not is_old:
            self._look_at = now + LOOK_SECONDS
        if not on_event_loop() and self.problem is None:
            self.refresh(since=now if is_old else None)
        elif self._ledger is not None and not is_old:
            # A loop must not wait for a ledger that others have, nobody for one that is gone.
            self._look_elsewhere()
        else:
            self.is_unread = self._has_ledger() or bool(self._known)
            if not self.is_unread:
                self._look_at = now + LOOK_SECONDS

    def _look_elsewhere(self) -> None:
        if not self._is_looking:  # a look may take seconds
            from spectra_otel.budgets import alerts

            self._is_looking = True
            if not alerts.worker().put(self.refresh):  # otherwise the look itself says when it is over, maybe by now
                self._is_looking = False

    def refresh(self, *, since: float | None = None) -> None:
        """Look at the ledger now, if there is one; unless another thread did ``since`` then, on the monotonic clock."""
        with self._lock:
            if since is not None and since < self._look_at:
                return
            had_problem = self.problem is not None
            self.is_unread = False
            try:
                self._look()
                self.problem = None
            except LedgerError as error:
                self.problem = error
                faults.report("budgets", str(error))
            except ConfigError as error:
                faults.report("budgets", str(error))
            finally:
                self._is_looking = False
                self._look_at = time.monotonic() + LOOK_SECONDS
        if had_problem and self.problem is None:
            from spectra_otel.budgets.owed import pay_soon

            pay_soon()

    def _has_ledger(self) -> bool:
        """Whether there may be budgets to read: a file that is not there has none."""
        from spectra_otel.budgets.ledger import ledger_url, sqlite_path

        path = sqlite_path(ledger_url())
        return path is None or bool(self._configured) or os.path.exists(path)

    def _look(self) -> None:
        from spectra_otel.budgets.ledger import ledger_url

        url = ledger_url()
        if self._url and url != self._url:
            self._ledger, self._revision, self._identity, self._known = None, -1, "", {}
        if not self._has_ledger():
            if self._known:
                faults.report("budgets", f"the ledger of budgets {url} is gone, and its budgets with it")
            self._known = {}
            return
        ledger = self.ledger()
        revision = ledger.revision()
        is_new = ledger.identity != self._identity
        if is_new and self._identity:
            faults.report("budgets", f"the ledger of budgets {ledger.url} begins anew: what it had counted is gone")
        self._identity = ledger.identity
        if self._configured and (is_new or self._revision < 0):
            self._announce(ledger)
            revision = ledger.revision()
        if is_new or revision != self._revision:
            self._known = self._read(ledger)
            self._revision = revision

    def _announce(self, ledger: Ledger) -> None:
        """Write into the ledger what the configuration newly says; what people changed since stays as they left it."""
        from spectra_otel.budgets.ledger import Stored

        stored = {one.name: one for one in ledger.definitions()}
        for name, budget in self._configured.items():
            text = budget.to_json()
            known = stored.get(name)
            if known is None or known.configured != text:
                ledger.define(Stored(name, text, CONFIG, budget.enabled, configured=text))

    def _read(self, ledger: Ledger) -> dict[str, Budget]:
        from spectra_otel.budgets.definition import Budget

        known: dict[str, Budget] = {}
        for stored in ledger.definitions():
            if not stored.enabled or (stored.source == CONFIG and stored.name not in self._configured):
                continue
            try:
                budget = Budget.from_json(stored.definition)
                budget.validate()
            except (SpectraError, ValueError, TypeError, KeyError) as error:
                faults.report("budgets", f"the definition of '{stored.name}' in the ledger cannot be read: {error}")
                continue
            known[stored.name] = replace(budget, enabled=True)
        return known


def on_event_loop() -> bool:
    """Whether this thread runs an asyncio loop, which must not wait for others."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def _claim(budget: Budget, values: Mapping[str, Any], moment: float) -> Claim:
    from spectra_otel.budgets.definition import bucket_of
    from spectra_otel.budgets.ledger import Claim

    scope = budget.scope(values)
    if budget.by and not any(scope.values()):
        faults.report(
            "budgets", f"budget '{budget.name}': a call without {', '.join(budget.by)} counts in the shared bucket ''"
        )
    window = budget.window(moment)
    return Claim(
        budget.name, bucket_of(scope), budget.spelled_period, window.start, budget.amounts, budget.is_hard,
        tuple(budget.thresholds), window.end, tuple(scope.items()),
    )  # fmt: skip


book = Book()
"""The one of the process."""
