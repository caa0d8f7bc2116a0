"""What Spectra adds to one call through each HTTP client: plain requests to a local server, bare and observed in turns.

    python bench/bench_clients.py [--calls 400]

The time is that of the calling thread on a processor (the server runs in another process), so that a busy machine disturbs it
less; printed are the low decile and the median of both, and the difference. Goal: 150 µs per call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 50}]}
ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06", "service_tier": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500},
}  # fmt: skip


class Server(BaseHTTPRequestHandler):
    """The same answer to everybody, each with an id of its own."""

    protocol_version = "HTTP/1.1"
    served = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Server.served += 1
        body = json.dumps({**ANSWER, "id": f"c{Server.served}"}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(pipe: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        pipe.send(server.server_port)
        server.serve_forever()


def clients(url: str) -> dict[str, tuple[type, str, Callable[[], object]]]:
    """Client → the class and method that are wrapped, and one call."""
    import aiohttp
    import httpx
    import httpx2
    import requests

    http, http2, session = httpx.Client(), httpx2.Client(), requests.Session()
    loop = asyncio.new_event_loop()
    asynchronous = loop.run_until_complete(_session(aiohttp))

    async def ask() -> None:
        async with asynchronous.post(url, json=ASK) as response:
            await response.read()

    return {
        "httpx": (httpx.Client, "send", lambda: http.post(url, json=ASK)),
        "httpx2": (httpx2.Client, "send", lambda: http2.post(url, json=ASK)),
        "requests": (requests.Session, "send", lambda: session.post(url, json=ASK)),
        "aiohttp": (aiohttp.ClientSession, "_request", lambda: loop.run_until_complete(ask())),
    }


async def _session(aiohttp: Any) -> Any:
    return aiohttp.ClientSession()


def measure(owner: type, name: str, call: Callable[[], object], count: int) -> dict[str, float]:
    observed = owner.__dict__[name]
    times: tuple[list[int], list[int]] = ([], [])
    for number in range(2 * count + 40):
        setattr(owner, name, observed if number % 2 else observed.__wrapped__)
        begun = time.thread_time_ns()
        call()
        taken = time.thread_time_ns() - begun
        if number >= 40:
            times[number % 2].append(taken)
    setattr(owner, name, observed)
    low = [sorted(row)[len(row) // 10] / 1000 for row in times]
    middle = [sorted(row)[len(row) // 2] / 1000 for row in times]
    return {
        "bare_p10_us": round(low[0], 1), "observed_p10_us": round(low[1], 1), "added_p10_us": round(low[1] - low[0], 1),
        "added_p50_us": round(middle[1] - middle[0], 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    args = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    host = f"127.0.0.1:{here.recv()}"
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(SPECTRA_HOME=home, SPECTRA_PROVIDER_HOSTS=f"{host}=openai")
        import spectra_otel as spectra

        spectra.configure()
        for client, (owner, name, call) in clients(f"http://{host}/v1/chat/completions").items():
            print(json.dumps({"client": client, **measure(owner, name, call, args.calls)}))
        spectra.shutdown()
    server.terminate()


if __name__ == "__main__":
    main()
