"""A provider for benches, in a process of its own: to everybody the same answer, whole or streamed, each with its own id."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNKS = 200
"""Deltas of a streamed answer."""
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 50}]}
_USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
_HEAD = {"id": "c1", "created": 1, "model": "gpt-4o-2024-08-06"}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}
_ANSWER = json.dumps({**_HEAD, "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode()


def _events() -> bytes:
    head = {**_HEAD, "object": "chat.completion.chunk"}
    deltas = [{"choices": [{"index": 0, "delta": {"content": "tok "}, "finish_reason": None}]}] * CHUNKS
    stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    rows = [{**head, **row} for row in (*deltas, stop, {"choices": [], "usage": _USAGE})]
    return b"".join(b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows) + b"data: [DONE]\n\n"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stream = _events()
    served = 0

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        _Handler.served += 1
        streams = b'"stream":true' in asked
        body = (self.stream if streams else _ANSWER).replace(b'"c1"', b'"chatcmpl-%d"' % _Handler.served)
        kind = "text/event-stream" if streams else "application/json"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serve(pipe: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        pipe.send(server.server_port)
        server.serve_forever()


@contextmanager
def provider() -> Iterator[str]:
    """``host:port`` of a server that runs as long as the block."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
