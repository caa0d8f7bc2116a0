"""What Spectra adds to one call through each HTTP client: plain requests to a local server, bare and observed in turns.

    python bench/bench_clients.py [--pairs 400]

The server runs in a process of its own: what counts is the time of the calling thread (see ``paired.py``). A second line of each
client is a request to a path that no provider has. Goals: 150 µs per call, 5 µs for a request that is nobody's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

from paired import added
from server import ASK, provider

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
    with provider() as host, tempfile.TemporaryDirectory() as home:
        os.environ.update(SPECTRA_HOME=home, SPECTRA_PROVIDER_HOSTS=f"{host}=openai")
        import spectra_otel as spectra

        spectra.configure()
        for client, (owner, name, call) in clients().items():
            if args.only in (None, client):
                measure(client, owner, name, call, host, args.pairs)
        spectra.shutdown()


if __name__ == "__main__":
    main()
