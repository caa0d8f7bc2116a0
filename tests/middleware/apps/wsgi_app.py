"""A WSGI app whose calls are made before the response and while its body is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette_app import call  # type: ignore[import-not-found]  # beside it, where the server runs

from spectra_otel.errors import BudgetExceededError
from spectra_otel.middleware.wsgi import SpectraMiddleware


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/spent":
        raise BudgetExceededError("budget 'team' has no room for this call", name="team")
    start_response("200 OK", [("content-type", "text/plain")])
    return streamed() if environ["PATH_INFO"] == "/streamed" else [call().encode()]


def streamed() -> Iterator[bytes]:
    yield call().encode()


app = SpectraMiddleware(answer, user=lambda environ: environ.get("HTTP_X_USER"), tags="web")
