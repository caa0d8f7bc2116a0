"""A process that is stopped (SIGSTOP, `docker pause`) with the ledger of a file in its hands does not stop the others."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import spectra_otel as spectra
from spectra_otel import faults
from spectra_otel.budgets import alerts, guard, sqlite_tables, turnstile
from spectra_otel.budgets.book import book
from tests.budgets.test_contract import BODY, CALL

T = TypeVar("T")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")

AT_THE_TURNSTILE = """
import sys, time
from pathlib import Path
from spectra_otel.budgets.turnstile import Turnstile
Turnstile(Path(sys.argv[1] + "-turn")).enter(True)
print("in", flush=True)
time.sleep(600)
"""
IN_A_TRANSACTION = """
import sys, time
from pathlib import Path
from spectra_otel.budgets.sqlite_ledger import SqliteLedger

def hold(db):
    db.execute("INSERT INTO meta VALUES ('half', 1)")
    print("in", flush=True)
    time.sleep(600)

SqliteLedger(Path(sys.argv[1]))._run(hold)
"""


class Stopped:
    """Another process, stopped in the middle of something."""

    def __init__(self, script: str, path: Path) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "in\n"
        self._process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Stopped]]:
    """Stops another process in its tracks; what is waited for it is short here."""
    monkeypatch.setattr(turnstile, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(sqlite_tables, "WAIT_SECONDS", 0.5)
    stopped: list[Stopped] = []

    def stop(script: str) -> Stopped:
        stopped.append(Stopped(script, tmp_path / "budgets.db"))
        return stopped[-1]

    yield stop
    for one in stopped:
        one.kill()


def within_a_minute(call: Callable[[], T]) -> T:
    """What ``call`` gives or raises; fails where it hangs."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it hangs"
    if isinstance(found[0], BaseException):
        raise found[0]
    answer: T = found[0]
    return answer


def test_who_is_stopped_at_the_turnstile_is_passed_by(stop: Callable[[str], Stopped]) -> None:
    """The turnstile is for speed alone: the others count without it, and with it again when it is free."""
    spectra.budgets.set("b", requests=4)
    stopped = stop(AT_THE_TURNSTILE)
    for _ in range(2):
        assert within_a_minute(lambda: guard.admit(CALL, BODY)).lease is not None
    stopped.kill()
    assert within_a_minute(lambda: asyncio.run(guard.admit_async(CALL, BODY))).lease is not None
    assert within_a_minute(lambda: guard.admit(CALL, BODY)).lease is not None
    with pytest.raises(spectra.BudgetExceededError, match="has no room"):
        guard.admit(CALL, BODY)


def test_many_threads_pass_a_stopped_process_by(stop: Callable[[str], Stopped]) -> None:
    """As many calls as the budget has room for are let through, and no more."""
    spectra.budgets.set("b", requests=20)
    stop(AT_THE_TURNSTILE)
    admitted: list[bool] = []

    def call() -> None:
        try:
            admitted.append(guard.admit(CALL, BODY).lease is not None)
        except spectra.BudgetExceededError:
            admitted.append(False)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(admitted) == [False] * 10 + [True] * 20


@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("is_async", [False, True])
def test_who_is_stopped_while_it_writes_leaves_it_to_the_policy(
    stop: Callable[[str], Stopped], mode: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Hard budgets stop calls and soft ones do not, with one line and each counted; nothing waits a second time."""
    spectra.budgets.set("b", requests=5, mode=mode)
    under_way = guard.admit(CALL, BODY)
    stopped = stop(IN_A_TRANSACTION)
    before = sum(count for kind, count in faults.counts().items() if "is stopped" in kind)

    said: list[str] = []

    def call() -> str:
        admit = lambda: asyncio.run(guard.admit_async(CALL, BODY)) if is_async else guard.admit(CALL, BODY)  # noqa: E731
        try:
            return "counted" if within_a_minute(admit).lease is not None else "not counted"
        except spectra.BudgetExceededError as error:
            said.append(str(error))
            return "blocked"

    assert [call() for _ in range(20)] == ["blocked" if mode == "hard" else "not counted"] * 20
    assert book.problem is not None  # who asks is told at once
    for line in said:
        assert "'b' cannot be counted, and on_unavailable is block" in line
        assert "another process has been writing for" in line
        assert "\n" not in line
    within_a_minute(lambda: under_way.settle({**CALL, "total_tokens": 7, "cost_status": "free"}))
    assert sum(count for kind, count in faults.counts().items() if "is stopped" in kind) >= before + 20
    lines = [line for line in caplog.messages if "is stopped" in line and "budgets: LedgerError" not in line]
    assert len(lines) <= 1  # beside what the worker says of its own
    stopped.kill()
    book.refresh()
    assert guard.admit(CALL, BODY).lease is not None
    alerts.flush(10.0)
    [row] = spectra.budgets.status("b")
    assert (row.settled_requests, row.settled_tokens, row.reserved_requests) == (1, 7, 1)


def test_an_event_loop_turns_while_somebody_is_stopped(
    stop: Callable[[str], Stopped], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is a thread's."""
    monkeypatch.setattr(sqlite_tables, "WAIT_SECONDS", 3.0)
    spectra.budgets.set("b", requests=5, mode="soft")
    guard.admit(CALL, BODY)
    stop(IN_A_TRANSACTION)

    async def main() -> int:
        waiting = asyncio.create_task(guard.admit_async(CALL, BODY))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert waiting.result().lease is None
        return turns

    assert within_a_minute(lambda: asyncio.run(main())) > 5


def test_a_stream_does_not_wait_for_each_of_its_pieces(stop: Callable[[str], Stopped]) -> None:
    """Where its lease cannot be extended it goes on, and asks again when the ledger is back."""
    spectra.budgets.set("b", tokens=10**9)
    stream = guard.admit(CALL, {**BODY, "stream": True, "max_tokens": None})
    assert stream.bound.grows
    stop(IN_A_TRANSACTION)

    def deliver() -> None:
        for piece in range(300):
            stream.delivered(10**6 + piece)

    within_a_minute(deliver)


FORKS = """
import os, signal, sys, threading
from pathlib import Path
from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.ledger import Claim
from spectra_otel.budgets import sqlite_ledger
from spectra_otel.budgets.sqlite_ledger import SqliteLedger

sqlite_ledger._FORK_SECONDS = 60.0  # however slow the machine is
ledger = SqliteLedger(Path(sys.argv[1]))
claim = Claim("b", "", "total", 0, Limit(10**15))

def once():
    ledger.settle(ledger.reserve([claim], Amount(2, 1, 1), Amount()), Amount(1, 1, 1))

once()
ends, done = threading.Event(), []

def loop():
    while not ends.is_set():
        once()
        done.append(1)

threads = [threading.Thread(target=loop) for _ in range(3)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            once()
        except BaseException:
            os._exit(1)
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
ends.set()
for thread in threads:
    thread.join()
[state] = ledger.states()
print(failed, state.settled.requests - len(done) - 1, state.reserved.requests)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_forks_in_the_middle_of_a_transaction_leaves_its_child_the_ledger(tmp_path: Path) -> None:
    """The child inherits none of what SQLite believes its parent holds: it counts, every time."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(tmp_path / "budgets.db")],
        capture_output=True, text=True, timeout=170, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == ["0", "30", "0"]
