"""A Starlette app whose requests make a call, some of them after the response or in a stream."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import spectra_otel as spectra
from spectra_otel.errors import BudgetExceededError
from spectra_otel.middleware import identify
from spectra_otel.middleware.asgi import SpectraMiddleware


def call() -> str:
    """One call. Answers with its trace."""
    with spectra.track("openai", "gpt-4o") as request:
        request.record({"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 500}})
        return f"{trace.get_current_span().get_span_context().trace_id:032x}"


async def plain(request: Request) -> Response:
    return PlainTextResponse(call())


def threaded(request: Request) -> Response:
    return PlainTextResponse(call())


async def later(request: Request) -> Response:
    return PlainTextResponse("soon", background=BackgroundTask(call))


async def known(request: Request) -> Response:
    identify(user="grace", metadata={"plan": "pro"})
    return PlainTextResponse(call())


async def spent(request: Request) -> Response:
    raise BudgetExceededError("budget 'team' has no room for this call", name="team")


async def user(scope: dict[str, Any]) -> str | None:
    return dict(scope["headers"]).get(b"x-user", b"").decode() or None


app = Starlette(
    routes=[Route(f"/{endpoint.__name__}", endpoint) for endpoint in (plain, threaded, later, known, spent)],
    middleware=[Middleware(SpectraMiddleware, user=user, tags=["web"])],
)
