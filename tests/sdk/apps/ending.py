"""A script that makes its last call and ends at once, in the way that argument 1 names."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
import time

from opentelemetry import trace


def call(name: str = "") -> str:
    """One call, as an instrumentor reports it."""
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
    what = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    trace.get_tracer("test").start_span(f"chat {name}", attributes={**what, **usage}).end()
    return name


def forked() -> None:
    """A child by os.fork that ends in order, beside the parent's own call."""
    call("parent")
    pid = os.fork()
    call("child" if pid == 0 else "parent again")
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)


def in_processes(method: str) -> None:
    """A child of multiprocessing, whose end skips atexit where it was forked."""
    multiprocessing.set_start_method(method)
    child = multiprocessing.Process(target=call, args=("child",))
    child.start()
    child.join()


def in_pool() -> None:
    """A Pool whose workers are ended by SIGTERM right after their last answer."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(call, ["a", "b", "c", "d"])


def in_executor() -> None:
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        list(executor.map(call, ["a", "b", "c", "d"]))


def in_threads() -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        list(executor.map(call, ["a", "b", "c", "d"]))


async def in_tasks() -> None:
    await asyncio.gather(*(asyncio.to_thread(call, name) for name in "ab"))
    call("c")
    call("d")


def late_thread() -> None:
    """A thread that makes its call after the main thread has ended."""
    threading.Thread(target=lambda: (time.sleep(0.2), call())).start()


def by_signal() -> None:
    call()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


def main(ending: str) -> None:
    if ending == "handler":
        atexit.register(call)
    import spectra_otel as spectra

    spectra.configure()
    if ending in ("fork", "spawn", "forkserver"):
        in_processes(ending)
    elif ending == "asyncio":
        asyncio.run(in_tasks())
    elif ending in ENDINGS:
        ENDINGS[ending]()
    elif ending != "handler":
        call()
    if ending == "exit":
        sys.exit(3)
    if ending == "raise":
        raise RuntimeError("the app's own")
    if ending in ("os_exit", "flushed"):
        if ending == "flushed":
            spectra.force_flush()
        os._exit(0)
    if ending == "shutdown":
        spectra.shutdown()
        os._exit(0)


ENDINGS = {
    "forked": forked,
    "pool": in_pool,
    "executor": in_executor,
    "threads": in_threads,
    "late thread": late_thread,
    "sigterm": by_signal,
}

if __name__ == "__main__":
    main(sys.argv[1])
elif "mp_main" in __name__:  # a spawned child imports the script anew: it starts Spectra itself, as under a launcher
    import spectra_otel

    spectra_otel.configure()
