"""Spectra OTel: what your AI calls cost, as native OpenTelemetry components.

::

    import spectra_otel as spectra

    spectra.configure()

Names are imported when they are used, so that ``import spectra_otel`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectra_otel import budgets as budgets
    from spectra_otel.budgets.tree import budget as budget
    from spectra_otel.errors import BudgetExceededError as BudgetExceededError
    from spectra_otel.model.record import TrackedRequest as TrackedRequest
    from spectra_otel.pricing import estimate as estimate
    from spectra_otel.pricing import estimate_request as estimate_request
    from spectra_otel.sdk.events import BudgetExceeded as BudgetExceeded
    from spectra_otel.sdk.events import BudgetThresholdReached as BudgetThresholdReached
    from spectra_otel.sdk.events import RequestTracked as RequestTracked
    from spectra_otel.sdk.events import on as on
    from spectra_otel.sdk.runtime import configure as configure
    from spectra_otel.sdk.runtime import force_flush as force_flush
    from spectra_otel.sdk.runtime import shutdown as shutdown
    from spectra_otel.sdk.span_builder import DefaultSpanBuilder as DefaultSpanBuilder
    from spectra_otel.sdk.span_builder import SpanBuilder as SpanBuilder
    from spectra_otel.sdk.transformer import RequestTransformer as RequestTransformer
    from spectra_otel.tracking.context import clear_globals as clear_globals
    from spectra_otel.tracking.context import context as context
    from spectra_otel.tracking.context import untracked as untracked
    from spectra_otel.tracking.context import with_metadata as with_metadata
    from spectra_otel.tracking.context import with_tags as with_tags
    from spectra_otel.tracking.context import with_user as with_user
    from spectra_otel.tracking.track import record_failure as record_failure
    from spectra_otel.tracking.track import record_success as record_success
    from spectra_otel.tracking.track import start_request as start_request
    from spectra_otel.tracking.track import stream as stream
    from spectra_otel.tracking.track import track as track

_HOMES = {
    "BudgetExceeded": "spectra_otel.sdk.events",
    "BudgetExceededError": "spectra_otel.errors",
    "BudgetThresholdReached": "spectra_otel.sdk.events",
    "DefaultSpanBuilder": "spectra_otel.sdk.span_builder",
    "RequestTracked": "spectra_otel.sdk.events",
    "RequestTransformer": "spectra_otel.sdk.transformer",
    "SpanBuilder": "spectra_otel.sdk.span_builder",
    "TrackedRequest": "spectra_otel.model.record",
    "budget": "spectra_otel.budgets.tree",
    "budgets": "spectra_otel.budgets",
    "clear_globals": "spectra_otel.tracking.context",
    "configure": "spectra_otel.sdk.runtime",
    "context": "spectra_otel.tracking.context",
    "estimate": "spectra_otel.pricing",
    "estimate_request": "spectra_otel.pricing",
    "force_flush": "spectra_otel.sdk.runtime",
    "on": "spectra_otel.sdk.events",
    "record_failure": "spectra_otel.tracking.track",
    "record_success": "spectra_otel.tracking.track",
    "shutdown": "spectra_otel.sdk.runtime",
    "start_request": "spectra_otel.tracking.track",
    "stream": "spectra_otel.tracking.track",
    "track": "spectra_otel.tracking.track",
    "untracked": "spectra_otel.tracking.context",
    "with_metadata": "spectra_otel.tracking.context",
    "with_tags": "spectra_otel.tracking.context",
    "with_user": "spectra_otel.tracking.context",
}
"""Public name → the module it lives in."""

__all__ = [
    "BudgetExceeded",
    "BudgetExceededError",
    "BudgetThresholdReached",
    "DefaultSpanBuilder",
    "RequestTracked",
    "RequestTransformer",
    "SpanBuilder",
    "TrackedRequest",
    "budget",
    "budgets",
    "clear_globals",
    "configure",
    "context",
    "estimate",
    "estimate_request",
    "force_flush",
    "on",
    "record_failure",
    "record_success",
    "shutdown",
    "start_request",
    "stream",
    "track",
    "untracked",
    "with_metadata",
    "with_tags",
    "with_user",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES[name])
    value = globals()[name] = module if name == "budgets" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
