"""A web app in both dialects of Python, whose every request makes a call; nothing in it knows of Spectra."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry import trace


def call() -> bytes:
    """One call, as an instrumentor reports it. Answers with the process that made it."""
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
    what = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    trace.get_tracer("test").start_span("chat gpt-4o", attributes={**what, **usage}).end()
    return str(os.getpid()).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    body = call()
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", str(len(body)))])
    return [body]


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError  # as an app without lifespan does
    body = call()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
