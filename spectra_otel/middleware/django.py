"""Django's own list of middleware, where the user is known: after ``AuthenticationMiddleware``.

::

    MIDDLEWARE = [..., "spectra_otel.middleware.django.SpectraMiddleware"]
    SPECTRA = {"user": lambda request: request.user.email, "tags": ["web"]}  # optional
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction  # pyright: ignore[reportMissingImports]
from django.conf import settings  # pyright: ignore[reportMissingImports]
from django.http import HttpResponse  # pyright: ignore[reportMissingImports]

from spectra_otel.errors import BudgetExceededError
from spectra_otel.middleware.scope import Rules, Web, ask, flush, refusal
from spectra_otel.tracking.generators import async_pieces_within, pieces_within


def signed_in(request: Any) -> str | None:
    """The primary key of the user that is signed in."""
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None


class SpectraMiddleware:
    """Names the user and the request of every call of a view. ``settings.SPECTRA`` has the arguments of :class:`Rules`.

    With ``after_response`` the records are written when Django closes the response, which the server does after it is sent.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._rules = Rules(**{"user": signed_in, **getattr(settings, "SPECTRA", {})})
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer a request; a coroutine under ASGI."""
        return self._answer_async(request) if self.is_async else self._answer(request)

    def process_exception(self, request: Any, error: Exception) -> Any:
        """429 for a budget that stopped a call and that the view did not catch."""
        if not isinstance(error, BudgetExceededError):
            return None
        headers, body = refusal(error)
        return HttpResponse(body, status=429, headers=dict(headers))

    def _answer(self, request: Any) -> Any:
        with self._rules.entered(_web(request), *self._said(request)):
            response = _streaming_here(self._get_response(request))
        return self._flushing(response)

    async def _answer_async(self, request: Any) -> Any:
        said = await asyncio.to_thread(self._said, request)  # a user is looked up in the database
        with self._rules.entered(_web(request), *said):
            response = _streaming_here(await self._get_response(request))
        return self._flushing(response)

    def _said(self, request: Any) -> tuple[Any, Any]:
        return ask(self._rules.user, request), ask(self._rules.metadata, request)

    def _flushing(self, response: Any) -> Any:
        if self._rules.flush_afterwards():
            response._resource_closers.append(flush)
        return response


def _streaming_here(response: Any) -> Any:
    """The response; what streams, but for a file, is made as part of the request, though it is sent after the view."""
    if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
        within = async_pieces_within if response.is_async else pieces_within
        response.streaming_content = within(copy_context(), response.streaming_content)
    return response


def _web(request: Any) -> Web:
    return Web(request.method, request.path, {name.lower(): value for name, value in request.headers.items()})
