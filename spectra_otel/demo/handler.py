"""What the local provider answers, in each of the wire formats it speaks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from spectra_otel.demo.wire import Answer, AnthropicMessages, Gemini, Json, OpenAIChat, OpenAIResponses

if TYPE_CHECKING:
    from spectra_otel.demo.provider import LocalProvider

CACHE_MINIMUM = 1024
"""Prompts of fewer tokens are never cached."""
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
