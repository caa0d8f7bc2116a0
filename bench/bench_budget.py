"""Budgets: reserve and settle alone and under contention, what a loop feels of it, what a blocked call costs, beside LiteLLM.

    python bench/bench_budget.py [--redis redis://localhost]

``--litellm PYTHON`` names an interpreter that has LiteLLM; its BudgetManager and ``max_budget`` are then run beside ours.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import tempfile
import threading
import time
from typing import Any

from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.ledger import Claim, Lease, Ledger, WouldWait, open_ledger

CLAIM = Claim("bench", "", "total", 0, Limit(10**15))
PROCESSES, THREADS, SECONDS = 8, 4, 5.0


def once(ledger: Ledger) -> float:
    """Microseconds of one reserve and settle."""
    begin = time.perf_counter()
    lease = ledger.reserve([CLAIM], Amount(10, 1, 1), Amount())
    assert isinstance(lease, Lease)
    ledger.settle(lease, Amount(5, 1, 1))
    return (time.perf_counter() - begin) * 1e6


def quantiles(times: list[float]) -> str:
    times.sort()
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return f"p50 {p50:,.0f} µs, p99 {p99:,.0f} µs, max {times[-1]:,.0f} µs"


def work(url: str, barrier: Any, results: Any) -> None:
    ledger = open_ledger(url)
    times: list[float] = []

    def loop() -> None:
        barrier.wait()
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            times.append(once(ledger))

    threads = [threading.Thread(target=loop) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(times)


def crowd(url: str) -> list[float]:
    """Times of all threads of all processes on one budget."""
    barrier, results = multiprocessing.Barrier(PROCESSES * THREADS), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(url, barrier, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    times = [one for _ in processes for one in results.get()]
    for process in processes:
        process.join()
    return times


def stalls(url: str, asks: bool = True) -> list[float]:
    """Milliseconds by which calls on an event loop held it up while other processes contend for the ledger.

    Without ``asks`` the loop does ten microseconds of arithmetic instead: what the scheduler of a full machine adds to anything.
    """
    ledger = open_ledger(url)
    once(ledger)
    barrier, results = multiprocessing.Barrier(4 * THREADS + 1), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(url, barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    held: list[float] = []

    def ask() -> Lease | None:
        begin = time.perf_counter()
        try:
            found = ledger.reserve([CLAIM], Amount(10, 1, 1), Amount(), wait=False) if asks else sum(range(700))
        except WouldWait:
            found = None
        held.append((time.perf_counter() - begin) * 1000)
        return found if isinstance(found, Lease) else None

    async def call() -> None:
        lease = ask()
        if lease is None and asks:
            await asyncio.to_thread(once, ledger)
        elif lease is not None:
            await asyncio.to_thread(ledger.settle, lease, Amount(5, 1, 1))

    async def main() -> None:
        end = time.perf_counter() + SECONDS - 1
        while time.perf_counter() < end:
            await call()
            await asyncio.sleep(0.001)

    barrier.wait()
    asyncio.run(main())
    for _ in processes:
        results.get()
    for process in processes:
        process.join()
    return sorted(held)


def blocked() -> list[float]:
    """Microseconds from a call of the app to the refusal, through the guard."""
    from spectra_otel import budgets
    from spectra_otel.budgets import guard
    from spectra_otel.errors import BudgetExceededError

    budgets.set("full", tokens=1)
    values = {"provider": "openai", "model": "gpt-4o", "model_type": "text"}
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    times = []
    for _ in range(2000):
        begin = time.perf_counter()
        try:
            guard.admit(values, body, 100)
        except BudgetExceededError:
            times.append((time.perf_counter() - begin) * 1e6)
    return times


def beside() -> str:
    """The app's side of LiteLLM's two: a budget of eleven calls asked for twenty, and what admit and settle take in the guard."""
    from spectra_otel import budgets
    from spectra_otel.budgets import guard
    from spectra_otel.errors import BudgetExceededError

    values = {"provider": "openai", "model": "gpt-4o", "model_type": "text"}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1000}
    used = {**values, "prompt_tokens": 8, "completion_tokens": 1000}
    budgets.remove("full")
    budgets.set("eleven", cost="0.1135 USD")
    admitted = 0
    for _ in range(20):
        try:
            guard.admit(values, body).settle(used)
            admitted += 1
        except BudgetExceededError:
            continue
    budgets.set("eleven", cost="1000000 USD")
    times = []
    for _ in range(2000):
        begin = time.perf_counter()
        guard.admit(values, body).settle(used)
        times.append((time.perf_counter() - begin) * 1e6)
    return f"a budget of about 11 calls: admitted {admitted} of 20\n  admit + settle: {quantiles(times)}"


def idle() -> float:
    """Nanoseconds that the question costs where there is no budget."""
    from spectra_otel.budgets.book import book

    count = 200_000
    book.is_idle()
    begin = time.perf_counter()
    for _ in range(count):
        book.is_idle()
    return (time.perf_counter() - begin) / count * 1e9


LITELLM = """
import os, sys, time, threading, litellm
os.chdir(sys.argv[1])
litellm.suppress_debug_info = True
litellm.max_budget = 5 * 0.0225
admitted = 0
def call():
    global admitted
    try:
        litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "x"}], mock_response="y " * 1000)
        admitted += 1
    except litellm.BudgetExceededError: pass
for _ in range(20): call()
print(f"max_budget of about 11 calls (mock): admitted {admitted} of 20")
manager = litellm.BudgetManager(project_name="p")
manager.create_budget(total_budget=1.0, user="u")
times = []
for _ in range(200):
    begin = time.perf_counter()
    manager.get_current_cost(user="u") <= manager.get_total_budget("u")
    manager.update_cost(user="u", model="gpt-4o", input_text="hello", output_text="there")
    times.append((time.perf_counter() - begin) * 1e6)
times.sort()
print(f"BudgetManager check + update: p50 {times[100]:,.0f} us, p99 {times[197]:,.0f} us; it stops nothing")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", help="URL of a Redis to run against, too")
    parser.add_argument("--litellm", help="an interpreter with LiteLLM")
    options = parser.parse_args()
    home = tempfile.mkdtemp()
    os.environ["SPECTRA_HOME"] = home
    print(f"no budget: {idle():,.0f} ns a call")
    for url in [f"sqlite:///{home}/bench.db", *([options.redis] if options.redis else [])]:
        print(f"\n{url.partition(':')[0]}")
        ledger = open_ledger(url)
        once(ledger)
        print(f"  alone: {quantiles([once(ledger) for _ in range(5000)])}")
        times = crowd(url)
        print(f"  {PROCESSES} × {THREADS}: {len(times) / SECONDS:,.0f} reserve + settle a second, {quantiles(times)}")
        if url.startswith("sqlite"):
            for what, asks in (("by the ledger", True), ("by 10 µs of arithmetic", False)):
                held = stalls(url, asks)
                p50, p99 = held[len(held) // 2], held[int(len(held) * 0.99)]
                print(f"  event loop held {what}: p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {held[-1]:.3f} ms")
    print(f"\nblocked call: {quantiles(blocked())}\n\nSpectra\n  {beside()}")
    if options.litellm:
        print("\nLiteLLM")
        ran = subprocess.run([options.litellm, "-c", LITELLM, home], capture_output=True, text=True, check=False)
        print("  " + (ran.stdout or ran.stderr[-500:]).strip().replace("\n", "\n  "))


if __name__ == "__main__":
    main()
