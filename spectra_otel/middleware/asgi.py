"""ASGI: FastAPI, Starlette, Litestar, Quart and Django's ``asgi.py``.

::

    app.add_middleware(SpectraMiddleware, user=lambda scope: scope["session"].get("user_id"))
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from spectra_otel import faults
from spectra_otel.budgets.answers import raising_blocks
from spectra_otel.errors import BudgetExceededError
from spectra_otel.middleware.scope import Rules, Web, ask, flush, refusal

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


@dataclass(eq=False)
class SpectraMiddleware(Rules):
    """Names the user and the request of every call that an app makes while it answers; see :class:`Rules` for the arguments.

    ``user`` and ``metadata`` get the scope and may be coroutine functions. A budget that stops a call, and that nobody caught,
    is answered with 429 where the response has not begun.
    """

    app: App

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        has_begun = scope["type"] == "websocket"
        blocks: list[BudgetExceededError] = []

        async def noting(message: Message) -> None:
            nonlocal has_begun
            if message.get("status") == 500 and blocks and not has_begun:
                raise blocks[-1]  # what the app's framework made of it is not what happened
            has_begun = True
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        user = await _said(ask(self.user, scope))
        metadata = await _said(ask(self.metadata, scope))
        try:
            request = Web(scope.get("method", "GET"), scope["path"], headers)
            with self.entered(request, user, metadata), raising_blocks() as blocks:
                await self.app(scope, receive, noting)
        except BudgetExceededError as error:
            if has_begun:
                raise
            extra, body = refusal(error)
            lines = [(name.encode(), value.encode("latin-1")) for name, value in extra]
            await send({"type": "http.response.start", "status": 429, "headers": lines})
            await send({"type": "http.response.body", "body": body})
        finally:
            if self.flush_afterwards():  # the response, and what the app does in the background after it, are done
                await _flushed()


async def _said(said: Any) -> Any:
    if not inspect.isawaitable(said):
        return said
    try:
        return await said
    except Exception as error:  # as one that is no coroutine function
        faults.report("middleware", error)
        return None


async def _flushed() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another event loop, such as Trio's
        flush()
    else:
        await asyncio.to_thread(flush)
