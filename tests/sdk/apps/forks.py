"""Forks in the middle of everything: four threads make calls without pause while the main thread forks, and each child makes one.

Prints how many children ended in order, and how many calls the parent made.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from opentelemetry import trace

import spectra_otel as spectra

USAGE = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
WHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def call() -> None:
    trace.get_tracer("test").start_span("chat", attributes={**WHAT, **USAGE}).end()


def child() -> None:
    """One call, on disk before the end; a child that hangs is killed by its alarm."""
    signal.alarm(20)
    call()
    os._exit(0 if spectra.force_flush(10) else 1)


def main(children: int) -> None:
    spectra.configure()
    stop = threading.Event()
    made = [0] * 4

    def work(number: int) -> None:
        while not stop.is_set():
            call()
            made[number] += 1
            time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    ended = 0
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            child()
        ended += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
    print(ended, sum(made))


if __name__ == "__main__":
    main(int(sys.argv[1]))
