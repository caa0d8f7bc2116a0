"""The first calls of a process, and those after a pause: none goes by a budget that the process has not seen yet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import spectra_otel as spectra
from tests.budgets.test_contract import BODY, CALL

HEAD = f"""
import asyncio, subprocess, sys, threading, time
import spectra_otel as spectra
from spectra_otel.budgets import guard
from spectra_otel.budgets.book import book
CALL, BODY = {CALL!r}, {BODY!r}
passed, barrier = [], threading.Barrier(8)

def call():
    barrier.wait()
    assert not book.is_idle()
    try:
        assert guard.admit(CALL, BODY).lease is not None
    except spectra.BudgetExceededError:
        return
    passed.append(1)

async def call_async(gate):
    await gate.wait()
    assert not book.is_idle()
    try:
        assert (await guard.admit_async(CALL, BODY)).lease is not None
    except spectra.BudgetExceededError:
        return
    passed.append(1)

async def call_all(calls):
    gate = asyncio.Event()
    tasks = [asyncio.create_task(call_async(gate)) for _ in range(calls)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
"""
THREADS = """
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(passed))
"""
TASKS = """
asyncio.run(call_all(8))
print(len(passed))
"""
PAUSE = """
assert book.is_idle()
words = "budgets set b --requests 3".split()
subprocess.run([sys.executable, "-m", "spectra_otel.cli", *words], check=True, stdout=subprocess.DEVNULL)
time.sleep(2.1)
"""
BOTH = """
threads = [threading.Thread(target=call) for _ in range(7)]
for thread in threads: thread.start()
barrier.wait()
asyncio.run(call_all(8))
for thread in threads: thread.join()
print(len(passed))
"""


def passed(code: str) -> int:
    """How many calls a new process let through, that began at the same moment."""
    ran = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, env=dict(os.environ))
    assert ran.stderr == ""
    return int(ran.stdout)


def test_of_eight_threads_three_have_room() -> None:
    """The one that looks first is no more bound by the budget than those that come while it looks."""
    spectra.budgets.set("b", requests=3)
    assert passed(THREADS) == 3


def test_of_eight_tasks_three_have_room() -> None:
    """A loop does not wait for the look, and its calls do."""
    spectra.budgets.set("b", requests=3)
    assert passed(TASKS) == 3


def test_of_threads_and_tasks_three_have_room() -> None:
    """Whoever looks, for all of them."""
    spectra.budgets.set("b", requests=3)
    assert passed(BOTH) == 3


@pytest.mark.parametrize("calls", [THREADS, TASKS, BOTH])
def test_after_a_pause_three_have_room(calls: str) -> None:
    """What the process knew before is no reason to let through what a budget made meanwhile would stop."""
    assert passed(PAUSE + calls) == 3
