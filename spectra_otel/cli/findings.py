"""What `spectra doctor` finds in the store: its state, and what the records tell of those who made them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_otel.cli.prices import pricer, unknown
from spectra_otel.errors import StoreError
from spectra_otel.model.home import DATABASE_NAME, temporary_home

if TYPE_CHECKING:
    from spectra_otel.model.store import RecordStore, StoreHealth

_OLD_SEGMENT_SECONDS = 300
_LITTLE_ROOM = 100 << 20
_LAST = """
    SELECT max(started_at), arg_max(concat_ws(' ', provider, model), started_at), arg_max(service_name, started_at)
    FROM spectra_requests
"""
_UNRESOLVED = """
    SELECT provider, model, requests FROM (
        SELECT provider, coalesce(snapshot, model) AS model, count(*) AS requests
        FROM spectra_requests WHERE current_cost_status = 'unpriced' GROUP BY ALL)
    ORDER BY requests DESC, model LIMIT 20
"""
_SCOPES = """
    SELECT instrumentation, instrumentation_version, count(*) AS requests FROM spectra_requests
    WHERE instrumentation IS NOT NULL AND started_at > now() - INTERVAL 720 HOUR GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``state``: ok, note (worth knowing), attention (somebody should act) or problem (does not work)."""

    subject: str
    state: str
    detail: str


def of_store(store: RecordStore) -> Iterator[Finding]:
    """All that the store tells."""
    health = store.doctor()
    yield from _store(health)
    yield from _elsewhere(store.path)
    if health.problem is None and health.holder_pid is None and store.path.exists():
        yield from _last(store)
        yield from _unresolved(store)
        yield from _unchecked(store)


def _store(health: StoreHealth) -> Iterator[Finding]:
    if health.problem:
        state = "attention" if health.holder_pid else "problem"
        yield Finding("database", state, health.problem)
    elif health.database_bytes is None:
        told = "made with the next merge" if health.pending_rows else "nothing recorded yet"
        yield Finding("database", "note", f"{health.database}: {told}")
    else:
        detail = f"{health.database}: {health.requests} requests, {size(health.database_bytes)}"
        yield Finding("database", "ok", f"{detail}, schema {health.schema_version}")
    free = shutil.disk_usage(next(place for place in (health.spool, *health.spool.parents) if place.exists())).free
    if free < _LITTLE_ROOM:
        yield Finding(
            "disk", "attention", f"{size(free)} free where {health.spool} is: records will be refused when it is full"
        )
    waiting = f"{health.pending_rows} records in {health.pending_segments} segments, {size(health.pending_bytes)}"
    if str(health.spool) in (health.problem or ""):
        pass  # what it holds is not to be seen
    elif health.oldest_pending_seconds is None:
        yield Finding("spool", "ok", f"{health.spool}: nothing pending")
    else:
        state = "attention" if health.oldest_pending_seconds > _OLD_SEGMENT_SECONDS else "ok"
        yield Finding(
            "spool", state, f"{health.spool}: {waiting}, the oldest {health.oldest_pending_seconds:.0f} s old"
        )
    if health.quarantined_files:
        detail = f"{health.quarantined_files} files, {size(health.quarantined_bytes)}, beneath {health.spool}"
        yield Finding("quarantine", "attention", f"lines that could not be merged: {detail}")


def _elsewhere(path: Path) -> Iterator[Finding]:
    """Records that a process left in the temporary place, because it could not write to the proper one."""
    other = temporary_home() / DATABASE_NAME
    if other != path and other.exists():
        yield Finding(
            "elsewhere", "note", f"{other} has records of processes that could not write here; see it with --db"
        )


def _last(store: RecordStore) -> Iterator[Finding]:
    """The newest record: whether it is the call one misses, or an older one."""
    (moment, what, service), *_ = store.query(_LAST)[1]
    if moment is not None:
        of = f" of {service}" if service else ""
        yield Finding("last call", "ok", f"{moment:%Y-%m-%d %H:%M:%S} UTC, {what or 'unknown'}{of}")


def _unresolved(store: RecordStore) -> Iterator[Finding]:
    """Calls without a price: of models that nobody knows, with names that are near, and of those whose usage is not known."""
    prices = pricer()
    for provider, model, requests in store.query(_UNRESOLVED)[1]:
        names = provider or "", model or ""
        if prices.plan(*names) is None:
            yield Finding("no price", "attention", f"{unknown(prices, *names)} ({requests} requests)")
        else:
            told = f"{requests} requests of {names[0]} {names[1]} do not say what they used, or not what is priced"
            yield Finding("no usage", "note", told)


def _unchecked(store: RecordStore) -> Iterator[Finding]:
    """Whose recorded spans were read by rules that were made for an earlier release, or without knowing the release."""
    from spectra_otel.dialects._checked import CHECKED, depends_on_version, distribution_of, is_newer

    try:
        rows = store.query(_SCOPES)[1]
    except StoreError:  # a file of an older schema that somebody holds
        return
    for scope, found, requests in rows:
        distribution = distribution_of(scope)
        if found is None and depends_on_version(scope):
            told = "without a version: read by the newest rules, as its numbers meant other things in earlier ones"
        elif found is not None and distribution is not None and is_newer(distribution, found):
            told = f"newer than {CHECKED[distribution]}, the last one checked: read by the newest rules"
        else:
            continue
        yield Finding("spans", "note", f"{scope} {found or ''}".strip() + f" ({requests} requests) is {told}")


def size(count: int) -> str:
    return f"{count / 1_048_576:.1f} MiB" if count >= 104_858 else f"{count / 1024:.1f} KiB"
