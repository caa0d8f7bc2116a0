"""A thread that is interrupted in the ledger of a file leaves it to the others as it should be."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from spectra_otel.budgets.sqlite_ledger import SqliteLedger
from spectra_otel.errors import LedgerError


class Interruption(BaseException):
    """What a signal's handler raises, as Ctrl-C and limits of time do."""


class Leader:
    """A thread that has the lead of a ledger until it is let go."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self._is_in, self._may_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: ledger._run(self._hold))

    def _hold(self, _db: object) -> None:
        self._is_in.set()
        self._may_go.wait(10)

    def __enter__(self) -> Leader:
        self._thread.start()
        assert self._is_in.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._may_go.set()
        self._thread.join(10)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "budgets.db")
    assert ledger.revision() == 0
    yield ledger
    ledger.close()


def follow(
    ledger: SqliteLedger, call: Callable[[Any], object], found: dict[str, object], name: str
) -> threading.Thread:
    """A thread that waits behind a leader."""

    def run() -> None:
        try:
            found[name] = ledger._run(call)
        except BaseException as error:
            found[name] = error

    thread = threading.Thread(target=run, daemon=True)
    before = len(ledger._jobs)
    thread.start()
    deadline = time.monotonic() + 10
    while len(ledger._jobs) == before and time.monotonic() < deadline:
        time.sleep(0.001)
    return thread


def test_who_is_interrupted_while_it_waits_does_not_get_the_lead(ledger):
    """The calls after it go on; they waited for ever behind somebody who was gone."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Leader(ledger):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interruption):
                ledger._run(lambda _db: None)
    finally:
        signal.signal(signal.SIGALRM, before)
    found: dict[str, object] = {}
    after = threading.Thread(target=lambda: found.update(after=ledger._run(lambda _db: "done")), daemon=True)
    after.start()
    after.join(5)
    assert found == {"after": "done"}


def test_who_follows_an_interrupted_leader_hears_that_nothing_was_done(ledger):
    """What it wanted was taken back with the leader's transaction."""

    def interrupted(_db: object) -> None:
        raise Interruption

    found: dict[str, object] = {}
    with Leader(ledger):
        threads = [follow(ledger, interrupted, found, "leader"), follow(ledger, lambda _db: "done", found, "follower")]
    for thread in threads:
        thread.join(5)
    assert isinstance(found["leader"], Interruption)
    assert isinstance(found["follower"], LedgerError)
    assert ledger.revision() == 0
