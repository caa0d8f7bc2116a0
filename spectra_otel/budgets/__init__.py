"""Budgets that hold inside the app: room is reserved before a call and settled after it.

::

    import spectra_otel as spectra

    spectra.budgets.set("per-user", cost="5.00 USD", period="daily", by=["user.id"])
    spectra.budgets.remaining("per-user", "u1")     # cents

    with spectra.budget("nightly-run", usd=2):      # everything started inside draws on it
        ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectra_otel.budgets.api import Status as Status
    from spectra_otel.budgets.api import check as check
    from spectra_otel.budgets.api import definitions as definitions
    from spectra_otel.budgets.api import disable as disable
    from spectra_otel.budgets.api import enable as enable
    from spectra_otel.budgets.api import get as get
    from spectra_otel.budgets.api import remaining as remaining
    from spectra_otel.budgets.api import remove as remove
    from spectra_otel.budgets.api import set as set
    from spectra_otel.budgets.api import status as status
    from spectra_otel.budgets.definition import Budget as Budget

__all__ = [
    "Budget",
    "Status",
    "check",
    "definitions",
    "disable",
    "enable",
    "get",
    "remaining",
    "remove",
    "set",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "definition" if name == "Budget" else "api"
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value
