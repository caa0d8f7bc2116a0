"""`spectra doctor`: what is installed and attached, what waits in the spool, and what needs attention."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spectra_otel.cli.options import db_option, format_option, store_of
from spectra_otel.cli.output import print_rows
from spectra_otel.cli.prices import pricer, unknown
from spectra_otel.errors import ConfigError, SpectraError, StoreError

if TYPE_CHECKING:
    from spectra_otel.config.document import Document
    from spectra_otel.model.store import RecordStore, StoreHealth

PACKAGES = ("spectra-otel", "opentelemetry-sdk", "opentelemetry-instrumentation", "duckdb")
CLIENTS = ("openai", "anthropic", "google-genai", "httpx", "httpx2")
_OLD_SEGMENT_SECONDS = 300
_LITTLE_ROOM = 100 << 20
_OLD_CATALOG = timedelta(days=90)
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


@click.command()
@format_option
@db_option
def doctor(format_: str, db: str | None) -> None:
    """Say what is installed, what is pending and what needs attention. Exit status 1 if something does not work."""
    findings = list(examine(db))
    columns = ("subject", "state", "detail")
    print_rows(columns, ([getattr(finding, name) for name in columns] for finding in findings), format_)
    if any(finding.state == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


def examine(db: str | None) -> Iterator[Finding]:
    """All findings, in the order of the report."""
    yield from _versions()
    yield from _instrumentations()
    yield from _launch()
    document = yield from _configuration()
    yield from _catalog()
    yield from _budgets()
    if document is not None:
        store = store_of(document, db)
        health = store.doctor()
        yield from _store(health)
        if health.problem is None and health.holder_pid is None:
            yield from _unresolved(store)
            yield from _unchecked(store)


def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for package in PACKAGES:
        yield Finding(package, "ok", version(package))
    found = [f"{name} {_version_or_none(name)}" for name in CLIENTS if _version_or_none(name)]
    yield Finding("AI and HTTP clients", "ok" if found else "note", ", ".join(found) or f"none of {', '.join(CLIENTS)}")


def _instrumentations() -> Iterator[Finding]:
    """Whose spans are read as well, and which of them are newer than what the rules were checked against."""
    from spectra_otel.dialects._checked import CHECKED, is_newer

    installed = {name: found for name in CHECKED if (found := _version_or_none(name))}
    newer = [name for name, found in installed.items() if is_newer(name, found)]
    known = [f"{name} {found}" for name, found in installed.items() if name not in newer]
    if known:
        yield Finding("instrumentations", "ok", ", ".join(known))
    for name in newer:
        detail = (
            f"{name} {installed[name]} is newer than {CHECKED[name]}, the last one checked: read by the newest rules"
        )
        yield Finding("instrumentation", "note", detail)


def _version_or_none(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _launch() -> Iterator[Finding]:
    """Whether `spectra run` and `opentelemetry-instrument` will find us."""
    for group in ("opentelemetry_distro", "opentelemetry_pre_instrument"):
        points = {point.name: point for point in entry_points(group=group)}
        others = sorted(set(points) - {"spectra"})
        if "spectra" not in points:
            yield Finding(group, "problem", "our entry point is not installed; reinstall spectra-otel")
        elif others:
            yield Finding(group, "ok", f"spectra, beside {', '.join(others)}")
        else:
            yield Finding(group, "ok", "spectra")


def _configuration() -> Generator[Finding, None, Document | None]:
    """The configuration in effect; gives it back if it can be used."""
    from spectra_otel.config.load import load
    from spectra_otel.config.settings import read_settings

    try:
        settings = read_settings()
        document = load(settings=settings)
    except SpectraError as error:
        yield Finding("configuration", "problem", str(error))
        return None
    place = settings.config or "built in"
    if not settings.enabled:
        yield Finding("configuration", "attention", "SPECTRA_ENABLED=false: nothing is attached")
    for spec in document.pipelines:
        chain = " → ".join(map(str, (*spec.processors, f"[{', '.join(map(str, spec.exporters))}]")))
        yield Finding("configuration", "ok", f"{place}: {spec.id}: {chain}")
    return document


def _is_whole(path: Path) -> bool:
    from spectra_otel.pricing import PriceFileError, load_catalog

    try:
        return load_catalog(path).verify()
    except (OSError, PriceFileError):
        return False


def _catalog() -> Iterator[Finding]:
    from spectra_otel.pricing.catalog import taken_catalog_path

    try:
        catalog = pricer().catalog
    except ConfigError as error:
        yield Finding("price catalog", "problem", str(error))
        return
    if (taken := taken_catalog_path()).exists() and not _is_whole(taken):
        yield Finding("price catalog", "attention", f"{taken} is damaged; the shipped catalog is in use")
    age = datetime.now(UTC).date() - catalog.date
    state = "note" if age > _OLD_CATALOG else "ok"
    yield Finding("price catalog", state, f"{catalog.version}, {len(catalog.providers)} providers, {age.days} days old")


def _store(health: StoreHealth) -> Iterator[Finding]:
    if health.problem:
        state = "attention" if health.holder_pid else "problem"
        yield Finding("database", state, health.problem)
    elif health.database_bytes is None:
        yield Finding("database", "note", f"{health.database}: nothing recorded yet")
    else:
        detail = f"{health.database}: {health.requests} requests, {_size(health.database_bytes)}"
        yield Finding("database", "ok", f"{detail}, schema {health.schema_version}")
    free = shutil.disk_usage(next(place for place in (health.spool, *health.spool.parents) if place.exists())).free
    if free < _LITTLE_ROOM:
        yield Finding(
            "disk", "attention", f"{_size(free)} free where {health.spool} is: records will be refused when it is full"
        )
    waiting = f"{health.pending_rows} records in {health.pending_segments} segments, {_size(health.pending_bytes)}"
    if health.oldest_pending_seconds is None:
        yield Finding("spool", "ok", f"{health.spool}: nothing pending")
    else:
        state = "attention" if health.oldest_pending_seconds > _OLD_SEGMENT_SECONDS else "ok"
        yield Finding(
            "spool", state, f"{health.spool}: {waiting}, the oldest {health.oldest_pending_seconds:.0f} s old"
        )
    if health.quarantined_files:
        detail = f"{health.quarantined_files} files, {_size(health.quarantined_bytes)}, beneath {health.spool}"
        yield Finding("quarantine", "attention", f"lines that could not be merged: {detail}")


def _unresolved(store: RecordStore) -> Iterator[Finding]:
    """Models without a price, with names that are near."""
    if not store.path.exists():
        return
    _, rows = store.query(_UNRESOLVED)
    for provider, model, requests in rows:
        yield Finding(
            "no price", "attention", f"{unknown(pricer(), provider or '', model or '')} ({requests} requests)"
        )


def _unchecked(store: RecordStore) -> Iterator[Finding]:
    """Whose recorded spans were read by rules that were made for an earlier release, or without knowing the release."""
    from spectra_otel.dialects._checked import CHECKED, depends_on_version, distribution_of, is_newer

    if not store.path.exists():
        return
    try:
        rows = store.query(_SCOPES)[1]
    except StoreError:  # a file of an older schema; the next merge brings it to this one
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


def _budgets() -> Iterator[Finding]:
    """The ledger, where there is one: open leases, those of dead processes, and what went beyond its bounds."""
    from spectra_otel.budgets.amounts import cents
    from spectra_otel.budgets.book import book
    from spectra_otel.budgets.ledger import ledger_url, sqlite_path

    path = sqlite_path(ledger_url())
    if path is not None and not path.exists():
        yield Finding("budgets", "ok", "none is set")
        return
    try:
        health = book.ledger().health()
    except SpectraError as error:
        yield Finding("budgets", "problem", str(error))
        return
    detail = f"{health.url}: {health.budgets} budgets, {health.leases} calls under way"
    yield Finding("budgets", "ok", detail)
    if health.dead:
        yield Finding("budget leases", "note", f"{health.dead} of processes that are gone; the next refusal frees them")
    if health.overshoot:
        yield Finding(
            "budget overshoot", "attention", f"calls cost {cents(health.overshoot)} cents beyond their bounds"
        )


def _size(count: int) -> str:
    return f"{count / 1_048_576:.1f} MiB" if count >= 104_858 else f"{count / 1024:.1f} KiB"
