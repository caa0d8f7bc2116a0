"""What one ``spectra run`` recorded: a file that every process of the run appends to, and the sum that ends the run.

The launcher makes the file and names it in :data:`VARIABLE`, which child processes inherit. A line is
``<id> <rev> <status> <cents or ->``; it is written after the record is on disk. A line of one word says what became of a process:
``hello`` that it attached, ``off`` that it was told not to, ``failed`` that it could not. ``store <path>`` says where its
pipelines keep records; without a path, that none does.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_otel import faults

if TYPE_CHECKING:
    from spectra_otel.model.record import TrackedRequest

VARIABLE = "SPECTRA_RUN_LEDGER"


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums of one run: ``calls``, ``cents`` of those with a price, ``unpriced`` calls; ``processes`` that attached."""

    calls: int
    cents: Decimal
    unpriced: int
    processes: int
    off: int = 0
    failed: int = 0
    stores: tuple[str, ...] | None = None
    """Where records are kept; None: no process came so far as to know."""


def say(word: str) -> None:
    """Say what became of this process: ``hello``, ``off`` or ``failed``."""
    _append([f"{word}\n"])


def say_stores(paths: Sequence[str]) -> None:
    """Say where the pipelines of this process keep records."""
    _append(f"store {path}\n" for path in paths or [""])


def add(records: Sequence[TrackedRequest]) -> None:
    """Append records that are on disk now."""
    _append(
        f"{r['id']} {r.rev} {r['cost_status'] or '-'} {'-' if (c := r['total_cost_in_cents']) is None else c}\n"
        for r in records
    )


def totals(path: Path) -> RunTotals:
    """The sum over a ledger: each record once, at its highest revision."""
    newest: dict[str, tuple[int, Decimal | None]] = {}
    said: Counter[str] = Counter()
    stores: dict[str, None] | None = None
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("store "):
                stores = (stores or {}) | dict.fromkeys(filter(None, [line.removeprefix("store ").rstrip("\n")]))
                continue
            parts = line.split()
            if len(parts) != 4:
                said.update(parts)
                continue
            id_, rev, cents = parts[0], int(parts[1]), None if parts[3] == "-" else Decimal(parts[3])
            if id_ not in newest or newest[id_][0] <= rev:
                newest[id_] = (rev, cents)
    known = [cents for _, cents in newest.values() if cents is not None]
    return RunTotals(
        len(newest), sum(known, Decimal(0)), len(newest) - len(known), said["hello"], said["off"], said["failed"],
        None if stores is None else tuple(stores),
    )  # fmt: skip


def _append(lines: Iterable[str]) -> None:
    """One write in append mode: lines of several processes do not mix."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        faults.report("run ledger", error)
