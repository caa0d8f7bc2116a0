"""What the middlewares share: the attribution of one web request, its trace, the answer to a spent budget, the flush after it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from opentelemetry import context as context_api
from opentelemetry import propagate, trace

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.sdk import runtime
from spectra_otel.tracking import context
from spectra_otel.tracking.attribution import Attribution, attribution

Says = Callable[[Any], Any]
"""Asked with the framework's request: ASGI's scope, WSGI's environ, Django's HttpRequest."""
FLUSH_SECONDS = 5.0


class Web(NamedTuple):
    """What every kind of web request has; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(kw_only=True, eq=False)
class Rules:
    """What one middleware was told."""

    user: Says | None = None
    """Called with the request; gives the id of its user, or None where there is none."""
    tags: Sequence[str] | str = ()
    """Tags of every call of the app."""
    metadata: Says | None = None
    """Called with the request; gives metadata of its calls."""
    after_response: bool | None = None
    """Write the records of a request once its response is out; None for what ``SPECTRA_PERSISTENCE`` says."""
    propagate: bool = True
    """Continue the trace and the baggage that the request's headers carry, unless another instrumentation did."""

    def flush_afterwards(self) -> bool:
        """Whether the records of a request are to be written once its response is out."""
        if self.after_response is not None:
            return self.after_response
        settings = runtime.current_settings()
        return settings is not None and settings.persistence == "after_response"

    def begin(self, request: Web, user: Any, metadata: Any) -> None:
        """Say whose request it is, in a context that ends with it."""
        self._continued(request)
        context.add_here(self._attribution(request, user, metadata))

    @contextmanager
    def entered(self, request: Web, user: Any, metadata: Any) -> Iterator[None]:
        """The block in which the calls of a request are made."""
        token = self._continued(request)
        try:
            with context.attributed(self._attribution(request, user, metadata)):
                yield
        finally:
            if token is not None:
                context_api.detach(token)

    def _continued(self, request: Web) -> Any:
        if not self.propagate or trace.get_current_span().get_span_context().is_valid:
            return None
        return context_api.attach(propagate.extract(request.headers))

    def _attribution(self, request: Web, user: Any, metadata: Any) -> Attribution:
        about: dict[str, Any] = {"http": {"method": request.method, "path": request.path}}
        if isinstance(metadata, Mapping):
            about.update(metadata)
        return attribution(user=user, tags=self.tags, metadata=about)


def ask(says: Says | None, request: Any) -> Any:
    """What a callable of the app says of a request. One that raises is reported once, and nothing is known."""
    if says is None:
        return None
    try:
        return says(request)
    except Exception as error:
        faults.report("middleware", error)
        return None


def identify(
    *, user: str | None = None, tags: Sequence[str] | str = (), metadata: Mapping[str, Any] | None = None
) -> None:
    """Say more of the web request that is being answered, once the app knows it: to be called after it logged the user in.

    Holds for the calls that follow in this request and in the tasks it starts.
    """
    context.add_here(attribution(user=user, tags=tags, metadata=metadata))


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Write and send all that waits, within ``timeout`` seconds, and leave streams alone that other requests are reading."""
    host = runtime.current_host()
    return host is None or host.force_flush(timeout, settle=False)


def refusal(error: BudgetExceededError) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of the answer 429 to a request for which a budget had no room."""
    about = {"type": "budget_exceeded", "message": str(error), "budget": error.name}
    headers = [("content-type", "application/json")]
    if isinstance(error.resets_at, datetime):
        seconds = max(1, math.ceil((error.resets_at - datetime.now(UTC)).total_seconds()))
        headers.append(("retry-after", str(seconds)))
        about["resets_at"] = error.resets_at.isoformat()
    body = json.dumps({"error": about}).encode()
    return [*headers, ("content-length", str(len(body)))], body
