"""What Spectra adds to one call through each HTTP client: plain requests to a local server, bare and observed in turns.

    python bench/bench_clients.py [--pairs 400]

The server runs in a process of its own: what counts is the time of the calling thread (see ``paired.py``). A second line of each
client is a request to a path that no provider has. Goals: 150 µs per call, 5 µs for a request that is nobody's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from paired import added

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


Call = Callable[[str], object]


def clients() -> dict[str, tuple[type, str, Call]]:
    """Client → the class and method that are wrapped, and one call of a URL."""
    import aiohttp
    import httpx
    import httpx2
    import requests

    http, http2, session = httpx.Client(), httpx2.Client(), requests.Session()
    loop = asyncio.new_event_loop()
    asynchronous = loop.run_until_complete(_session(aiohttp))

    async def ask(url: str) -> None:
        async with asynchronous.post(url, json=ASK) as response:
            await response.read()

    return {
        "httpx": (httpx.Client, "send", lambda url: http.post(url, json=ASK)),
        "httpx2": (httpx2.Client, "send", lambda url: http2.post(url, json=ASK)),
        "requests": (requests.Session, "send", lambda url: session.post(url, json=ASK)),
        "aiohttp": (aiohttp.ClientSession, "_request", lambda url: loop.run_until_complete(ask(url))),
    }


async def _session(aiohttp: Any) -> Any:
    return aiohttp.ClientSession()


def measure(client: str, owner: type, name: str, call: Call, host: str, pairs: int) -> None:
    observed = owner.__dict__[name]

    def switch(is_observed: bool) -> None:
        setattr(owner, name, observed if is_observed else observed.__wrapped__)

    for what, path in (("call", "/v1/chat/completions"), ("nobody's", "/elsewhere")):
        url = f"http://{host}{path}"
        print(
            json.dumps({"client": client, "what": what, **added(lambda url=url: call(url), switch, pairs)}), flush=True
        )  # type: ignore[misc]
    switch(True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--only", help="one of the clients")
    args = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(SPECTRA_HOME=home, SPECTRA_PROVIDER_HOSTS=f"127.0.0.1:{port}=openai")
        import spectra_otel as spectra

        spectra.configure()
        for client, (owner, name, call) in clients().items():
            if args.only in (None, client):
                measure(client, owner, name, call, f"127.0.0.1:{port}", args.pairs)
        spectra.shutdown()
    server.terminate()


if __name__ == "__main__":
    main()
