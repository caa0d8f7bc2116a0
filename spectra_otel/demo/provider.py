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

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast

from spectra_otel.demo.wire import Answer, AnthropicMessages, Gemini, Json, OpenAIChat, OpenAIResponses

CACHE_MINIMUM = 1024
"""Prompts of fewer tokens are never cached."""
PROVIDERS = ("openai", "anthropic", "google")
_COUNTS_UNASKED = ("groq", "mistral", "openrouter", "xai")
"""These end a stream of chat with its usage whether asked to or not."""
_GEMINI = re.compile(r"/v1(?:beta)?/models/([^/:]+):(\w+)\Z")
_REASONS = re.compile(r"o\d|gpt-5|gemini-(?:2\.5|3)")
_DATED = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18", "o3": "o3-2025-04-16"}


@dataclass(slots=True)
class Served:
    """One line of the ledger: what the server answered, under the names of the record. ``usage`` is empty for an error."""

    provider: str
    endpoint: str
    model: str
    snapshot: str
    response_id: str
    status_code: int
    usage: dict[str, int]
    is_streaming: bool = False
    retry_count: int | None = None
    delivered: int = 0
    """Events of a stream that were handed to the network."""
    hung_up: bool = False
    """The client closed the stream before its end."""
    request: Json = field(default_factory=dict)


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


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    provider: str
    owner: LocalProvider

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        time.sleep(float(self.headers.get("x-demo-wait") or 0))
        try:
            body = cast(Json, json.loads(raw or b"{}"))
        except ValueError:
            self._send(400, OpenAIChat.error(400, "the body is not JSON"))
            return
        gemini = _GEMINI.match(path)
        if gemini:
            self._gemini(path, body, gemini[1], gemini[2])
        elif path == "/v1/messages/count_tokens":
            self._send(200, {"input_tokens": count_tokens(body)})
        elif path == "/v1/messages":
            self._anthropic(path, body)
        elif path == "/v1/responses":
            self._responses(path, body)
        elif path.endswith("/v1/embeddings"):
            self._embeddings(path, body)
        elif path.endswith("/v1/chat/completions"):
            self._chat(path, body)
        else:
            self._send(404, OpenAIChat.error(404, f"no such path: {path}"))

    # One method for each wire format.

    def _chat(self, path: str, body: Json) -> None:
        answer = self._answer("chatcmpl-", body)
        if self._failed(path, body, answer, OpenAIChat.error):
            return
        if body.get("stream"):
            asked = bool((body.get("stream_options") or {}).get("include_usage")) or self.provider in _COUNTS_UNASKED
            self._stream(path, body, answer, OpenAIChat.events(answer, include_usage=asked))
        else:
            self._plain(path, body, answer, OpenAIChat.plain(answer))

    def _responses(self, path: str, body: Json) -> None:
        answer = self._answer("resp_", body)
        if self._failed(path, body, answer, OpenAIChat.error):
            return
        if body.get("background"):
            answer.usage = {}
            self._plain(path, body, answer, OpenAIResponses.plain(answer, status="queued"))
        elif body.get("stream"):
            self._stream(path, body, answer, OpenAIResponses.events(answer))
        else:
            self._plain(path, body, answer, OpenAIResponses.plain(answer))

    def _embeddings(self, path: str, body: Json) -> None:
        answer = self._answer("", body, embeds=True)
        answer.id = ""  # an embedding has none
        if not self._failed(path, body, answer, OpenAIChat.error):
            texts = body.get("input")
            count = len(texts) if isinstance(texts, list) else 1
            self._plain(path, body, answer, OpenAIChat.embeddings(answer, count))

    def _anthropic(self, path: str, body: Json) -> None:
        answer = self._answer("msg_", body)
        answer.thinking = (body.get("thinking") or {}).get("type") == "enabled"
        if self._failed(path, body, answer, AnthropicMessages.error):
            return
        if body.get("stream"):
            self._stream(path, body, answer, AnthropicMessages.events(answer))
        else:
            self._plain(path, body, answer, AnthropicMessages.plain(answer))

    def _gemini(self, path: str, body: Json, model: str, verb: str) -> None:
        body = {"model": model, **body}
        embeds = verb in ("embedContent", "batchEmbedContents")
        answer = self._answer("", body, embeds=embeds)
        if self._failed(path, body, answer, Gemini.error):
            return
        if embeds:
            count, batch = len(body.get("requests") or [0]), verb == "batchEmbedContents"
            answer.id = ""
            self._plain(path, body, answer, Gemini.embeddings(answer, count, batch=batch))
        elif verb == "streamGenerateContent":
            self._stream(path, body, answer, Gemini.events(answer))
        elif verb == "generateContent":
            self._plain(path, body, answer, Gemini.plain(answer))
        else:
            self._send(404, Gemini.error(404, f"no such method: {verb}"))

    # What all share.

    def _answer(self, prefix: str, body: Json, *, embeds: bool = False) -> Answer:
        """Decide what to answer, the usage included."""
        model = str(body.get("model") or "unknown")
        words = [f"word{i} " for i in range(int(self.headers.get("x-demo-chunks") or 8))]
        answer = Answer(self.owner.next_id(prefix), model, _DATED.get(model, model), {}, words)
        answer.tool = None if embeds else _wanted_tool(body)
        answer.tier = {"auto": "default"}.get(tier := str(body.get("service_tier") or "default"), tier)
        forced = self.headers.get("x-demo-usage")
        answer.usage = json.loads(forced) if forced else self._usage(body, answer, embeds)
        return answer

    def _usage(self, body: Json, answer: Answer, embeds: bool) -> dict[str, int]:
        prompt = count_tokens(body)
        if embeds:
            return {"prompt_tokens": prompt}
        usage = {"prompt_tokens": prompt, "completion_tokens": 2 * len(answer.words)}
        if self.provider != "anthropic" and _REASONS.match(answer.model):
            usage["reasoning_tokens"] = 64
            usage["completion_tokens"] += 64
        if (body.get("thinking") or {}).get("type") == "enabled":
            usage["completion_tokens"] += 64
        cacheable = prompt // 128 * 128 if prompt >= CACHE_MINIMUM else 0
        if cacheable and self.provider == "anthropic":
            if "cache_control" in json.dumps(body):
                seen = self.owner.seen_before(json.dumps([body.get("system"), answer.model]))
                usage["cached_tokens" if seen else "cache_write_tokens"] = cacheable
        elif cacheable and self.owner.seen_before(json.dumps([_texts(body), answer.model])):
            usage["cached_tokens"] = cacheable
        return usage

    def _failed(self, path: str, body: Json, answer: Answer, error: Any) -> bool:
        """Answer with an error if the request asks for one."""
        status = int(self.headers.get("x-demo-error") or 0)
        times = self.headers.get("x-demo-fail-times")
        if times is not None and not self.owner.fails_again(self.headers.get("x-demo-key") or "key", int(times)):
            return False
        if not status:
            return False
        answer.usage, answer.id = {}, ""
        self._note(path, body, answer, status)
        self._send(status, error(status, f"the request asked to fail with {status}"))
        return True

    def _plain(self, path: str, body: Json, answer: Answer, document: Json) -> None:
        self._note(path, body, answer, 200)
        self._send(200, document)

    def _note(self, path: str, body: Json, answer: Answer, status: int, streams: bool = False) -> Served:
        retries = self.headers.get("x-stainless-retry-count")
        line = Served(
            self.provider, path, answer.model, answer.snapshot, answer.id, status, dict(answer.usage), streams,
            int(retries) if retries else None, request=body,
        )  # fmt: skip
        self.owner.served(line)
        return line

    def _send(self, status: int, document: Json) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(
        self,
        path: str,
        body: Json,
        answer: Answer,
        events: Iterator[bytes],
        kind: str = "text/event-stream; charset=utf-8",
    ) -> None:
        line = self._note(path, body, answer, 200, streams=True)
        delay = float(self.headers.get("x-demo-delay") or 0)
        cut = int(self.headers.get("x-demo-cut") or 0)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                if delay:
                    time.sleep(delay)
                if cut and line.delivered >= cut:
                    self.close_connection = True
                    return
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                line.delivered += 1
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            line.hung_up = True
            self.close_connection = True


def count_tokens(body: Json) -> int:
    """Tokens of a request as this provider counts them: four characters each, at least one."""
    return max(1, len(_texts(body)) // 4)


def _texts(body: Json) -> str:
    """All text of a request that a model would read."""
    parts = [
        body.get(key) for key in ("system", "instructions", "messages", "input", "contents", "content", "requests")
    ]
    parts.append(body.get("systemInstruction"))
    return "".join(_strings(part) for part in parts)


def _strings(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_strings, value))
    if isinstance(value, dict):
        return "".join(_strings(item) for key, item in value.items() if key not in ("role", "type", "model"))
    return ""


def _wanted_tool(body: Json) -> str | None:
    """The name of the first function of the request, unless the conversation holds a tool's result already."""
    said = json.dumps([body.get(key) for key in ("messages", "input", "contents")])
    if any(
        mark in said for mark in ('"tool_result"', '"role": "tool"', '"function_call_output"', '"functionResponse"')
    ):
        return None
    for tool in body.get("tools") or []:
        declared = tool.get("functionDeclarations") or [tool.get("function") or tool]
        if declared and declared[0].get("name"):
            return str(declared[0]["name"])
    return None


def main() -> None:
    """Serve until interrupted, and say where."""
    with LocalProvider() as provider:
        print(f"SPECTRA_PROVIDER_HOSTS={provider.hosts}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
