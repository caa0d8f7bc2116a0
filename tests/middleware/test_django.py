"""Django's own middleware: what a response streams after the view is its request's."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from spectra_otel.tracking import context
from tests.recording import Recorder
from tests.test_middleware import ask

pytest.importorskip("django")
from django.conf import settings
from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory

from spectra_otel.middleware.django import SpectraMiddleware


@pytest.fixture
def request_() -> Any:
    if not settings.configured:
        settings.configure()
    request: Any = RequestFactory().get("/chat")
    request.user = SimpleNamespace(pk=7, is_authenticated=True)
    return request


def pieces() -> Iterator[str]:
    yield "o"
    ask()
    yield "k"


def test_a_streamed_answer_is_its_requests(request_: Any, recorder: Recorder) -> None:
    """The server takes the pieces when the view is long done; nothing of the request is left behind."""
    answer = SpectraMiddleware(lambda _: StreamingHttpResponse(pieces()))(request_)
    assert b"".join(answer.streaming_content) == b"ok"
    assert (recorder.only["user_id"], recorder.only["metadata"]["http"]["path"]) == ("7", "/chat")
    assert context.known().user is None


def test_an_async_streamed_answer_is_its_requests(request_: Any, recorder: Recorder) -> None:
    """Under ASGI."""

    async def async_pieces() -> AsyncIterator[str]:
        yield "o"
        await asyncio.to_thread(ask)
        yield "k"

    async def view(_: Any) -> HttpResponseBase:
        return StreamingHttpResponse(async_pieces())

    async def serve() -> bytes:
        answer = await SpectraMiddleware(view)(request_)
        return b"".join([piece async for piece in answer.streaming_content])

    assert asyncio.run(serve()) == b"ok"
    assert recorder.only["user_id"] == "7"


def test_a_streamed_answer_that_is_left_is_closed(request_: Any, recorder: Recorder) -> None:
    """As it would be without us."""
    closed: list[bool] = []

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "x"
        finally:
            closed.append(True)

    answer = SpectraMiddleware(lambda _: StreamingHttpResponse(endless()))(request_)
    assert next(iter(answer.streaming_content)) == b"x"
    answer.close()
    assert closed == [True]


def test_a_file_is_left_to_the_server(request_: Any) -> None:
    """Which sends it by itself."""
    file = io.BytesIO(b"ok")
    view: Callable[[Any], HttpResponseBase] = lambda _: FileResponse(file)  # noqa: E731
    assert SpectraMiddleware(view)(request_).file_to_stream is file
