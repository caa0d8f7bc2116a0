"""WSGI: Flask, Bottle, Pyramid and Django's ``wsgi.py``.

::

    app.wsgi_app = SpectraMiddleware(app.wsgi_app, user=lambda environ: environ.get("REMOTE_USER"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

from spectra_otel.budgets.answers import raising_blocks
from spectra_otel.errors import BudgetExceededError
from spectra_otel.middleware.scope import Rules, Web, ask, flush, refusal

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(eq=False)
class SpectraMiddleware(Rules):
    """Names the user and the request of every call that an app makes while it answers; see :class:`Rules` for the arguments.

    ``user`` and ``metadata`` get the environ. Calls that are made while the server reads the body belong to the request too. A
    budget that stops a call, and that nobody caught, is answered with 429.
    """

    app: App

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        here = copy_context()
        here.run(self._enter, environ)
        flushes = self.flush_afterwards()
        try:
            pieces = here.run(_served, self.app, environ, start_response)
        except BudgetExceededError as error:
            headers, body = refusal(error)
            start_response("429 Too Many Requests", headers)
            pieces = [body]
        wraps_file = environ.get("wsgi.file_wrapper")
        if isinstance(wraps_file, type) and isinstance(pieces, wraps_file) and not flushes:
            return pieces  # the server sends the file by itself
        return (_Sized if hasattr(pieces, "__len__") else _Body)(pieces, here, flushes)

    def _enter(self, environ: Environ) -> None:
        """Say whose request it is, in a context that ends with the response."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        request = Web(environ["REQUEST_METHOD"], path, _headers(environ))
        self.begin(request, ask(self.user, environ), ask(self.metadata, environ))


def _served(app: App, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    with raising_blocks() as blocks:

        def watched(status: str, *more: Any) -> Any:
            if status.startswith("500") and blocks:
                raise blocks[-1]  # what the app's framework made of it is not what happened
            return start_response(status, *more)

        return app(environ, watched)


class _Body:
    """The body of a response, made in the context of its request; the server closes it when all is sent."""

    def __init__(self, pieces: Iterable[bytes], here: Context, flushes: bool) -> None:
        self._source = pieces
        self._context = here
        self._flushes = flushes
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._context.run(iter, self._source)
        return self._context.run(next, self._pieces)

    def close(self) -> None:
        """Close the app's body; write the records where that was to wait for the response."""
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            if self._flushes:
                flush()


class _Sized(_Body):
    """One of which the server knows how many pieces there are: of one piece it says the length."""

    def __len__(self) -> int:
        return len(self._source)  # type: ignore[arg-type]


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    return {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
