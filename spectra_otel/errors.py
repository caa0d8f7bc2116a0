"""What can go wrong, in one tree.

::

    SpectraError
    ├── ConfigError (also ValueError)      a setting or file cannot be used; terminal: someone must edit it
    ├── StoreError                         the local store cannot do what was asked
    │   ├── StoreBusyError                 another process holds the database file; transient
    │   └── StoreVersionError              the file was written by a newer program; terminal
    ├── ImportFormatError (also ValueError)  a document given to `spectra import` is not what it says; terminal
    ├── LedgerError                        budgets cannot be counted: their ledger cannot be read or written; transient
    └── BudgetExceededError                the one error of ours that reaches an app on purpose

Every message is one line that names the thing, the value it has and what would be valid. ``transient`` says whether
trying again can help; retry loops ask that and nothing else.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SpectraError(Exception):
    """Base of all errors raised by Spectra."""

    transient: ClassVar[bool] = False


class ConfigError(SpectraError, ValueError):
    """The configuration cannot be used; the message says where and what to change."""


class StoreError(SpectraError):
    """The local store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Another process holds the database file open; the message names its PID where DuckDB tells it."""

    transient = True


class StoreVersionError(StoreError):
    """The database was written by a newer version of Spectra than this one."""


class ImportFormatError(SpectraError, ValueError):
    """A document given to ``spectra import`` is not OTLP JSON; the message names file and line."""


class LedgerError(SpectraError):
    """The ledger of budgets cannot be used; the message names it. Whether calls go on is each budget's ``on_unavailable``."""

    transient = True


class BudgetExceededError(SpectraError):
    """A hard budget has no room for this call.

    Attributes: ``name`` (of the budget), ``scope`` (attribute → value of the bucket), ``limit``, ``spent`` and ``reserved``
    (cents, tokens or requests, as the budget counts), ``resets_at`` (datetime or None), ``partial`` (what a cut stream had
    delivered, else None).
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.name: str = details.get("name", "")
        self.scope: dict[str, str] = details.get("scope", {})
        self.limit: Any = details.get("limit")
        self.spent: Any = details.get("spent")
        self.reserved: Any = details.get("reserved")
        self.resets_at: Any = details.get("resets_at")
        self.partial: Any = details.get("partial")
