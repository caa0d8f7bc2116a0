"""A local AI provider: speaks the wire formats of OpenAI, Anthropic and Google, and keeps a ledger of what it served.

For the demo, the tests and the benches, so that a real SDK makes a real call, and what was recorded can be compared with
what was served::

    with LocalProvider() as provider:
        os.environ["SPECTRA_PROVIDER_HOSTS"] = provider.hosts
        client = openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x")
        client.chat.completions.create(model="gpt-4o", messages=[...])
        provider.ledger[-1].usage  # {"prompt_tokens": 12, ...}: the truth

It behaves as the originals do where money is concerned: a repeated long prompt is read from a cache (OpenAI, Google), and
so is one with ``cache_control`` (Anthropic, where the first call writes it); reasoning models reason; a request with tools
gets a tool call until a tool's result is in the conversation; usage of a streamed chat comes only when asked for.

Headers of a request that steer the answer: ``x-demo-usage`` (JSON of usage under the record's names), ``x-demo-error``
(a status to fail with), ``x-demo-fail-times`` (fail so many times first, by ``x-demo-key``), ``x-demo-chunks`` (words of a
stream), ``x-demo-wait`` (seconds before the answer), ``x-demo-delay`` (before each event), ``x-demo-cut`` (drop the connection
after so many events).
``python -m spectra_otel.demo.provider`` serves until interrupted.
"""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from spectra_otel.demo.handler import Handler, Served

PROVIDERS = ("openai", "anthropic", "google")


class LocalProvider:
    """The server; one port for each of ``providers``, since a host tells whose prices hold. A context manager."""

    providers: tuple[str, ...] = PROVIDERS

    def __init__(self, ports: dict[str, int] | None = None) -> None:
        self.ledger: list[Served] = []
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._failures: dict[str, int] = {}
        self._servers = {name: self._server(name, (ports or {}).get(name, 0)) for name in self.providers}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Serve in daemon threads."""
        for name, server in self._servers.items():
            target = server.serve_forever
            threading.Thread(target=target, args=(0.05,), name=f"local-{name}", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and close the ports."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def url(self, provider: str) -> str:
        """Base address of one provider, without a path: ``http://127.0.0.1:40123``."""
        return f"http://127.0.0.1:{self._servers[provider].server_port}"

    @property
    def hosts(self) -> str:
        """The value for ``SPECTRA_PROVIDER_HOSTS``."""
        return ",".join(f"127.0.0.1:{server.server_port}={name}" for name, server in self._servers.items())

    def served(self, line: Served) -> None:
        """Write one line of the ledger."""
        with self._lock:
            self.ledger.append(line)

    def next_id(self, prefix: str) -> str:
        """An id that no other answer of this server has."""
        with self._lock:
            self._failures["ids"] = number = self._failures.get("ids", 0) + 1
        return f"{prefix}{id(self) & 0xFFFFFF:06x}{number:08d}"

    def seen_before(self, prompt: str) -> bool:
        """Whether this prompt was sent before; it was, from now on."""
        with self._lock:
            known = prompt in self._seen
            self._seen.add(prompt)
        return known

    def fails_again(self, key: str, times: int) -> bool:
        """Whether the call of ``key`` shall fail once more, of ``times`` in all."""
        with self._lock:
            done = self._failures.get(key, 0)
            self._failures[key] = done + 1
        return done < times

    def handler(self) -> type[Handler]:
        """What answers; another provider's wire formats are those of a subclass."""
        return Handler

    def _server(self, name: str, port: int) -> ThreadingHTTPServer:
        handler = type("Handler", (self.handler(),), {"provider": name, "owner": self})
        server = _Server(("127.0.0.1", port), handler)
        server.daemon_threads = True
        return server


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests, not a fault to print."""


def main() -> None:
    """Serve until interrupted, and say where."""
    with LocalProvider() as provider:
        print(f"SPECTRA_PROVIDER_HOSTS={provider.hosts}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
