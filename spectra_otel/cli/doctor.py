"""`spectra doctor`: what is installed and attached, what waits in the spool, and what needs attention."""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spectra_otel.cli.findings import Finding, of_store
from spectra_otel.cli.options import db_option, format_option, store_of
from spectra_otel.cli.output import print_rows
from spectra_otel.cli.prices import pricer
from spectra_otel.errors import ConfigError, SpectraError

if TYPE_CHECKING:
    from spectra_otel.config.document import Document
    from spectra_otel.config.settings import Settings

PACKAGES = ("spectra-otel", "opentelemetry-sdk", "opentelemetry-instrumentation", "duckdb")
CLIENTS = (
    "openai", "anthropic", "google-genai", "mistralai", "cohere", "groq", "litellm", "boto3",
    "httpx", "httpx2", "requests", "aiohttp", "botocore",
)  # fmt: skip
"""SDKs, and the HTTP clients beneath them, whose calls are seen."""
UNSEEN = {
    "grpcio": ("xai-sdk", "google-cloud-aiplatform", "google-ai-generativelanguage"),
    "pycurl": ("pycurl",),
}
"""What calls go through that nobody observes → SDKs that do so."""
_OLD_CATALOG = timedelta(days=90)


@click.command()
@format_option
@db_option
def doctor(format_: str, db: str | None) -> None:
    """Say what is installed, what is pending and what needs attention. Exit status 1 if something does not work."""
    findings = list(examine(db))
    columns = ("subject", "state", "detail")
    print_rows(columns, ([getattr(finding, name) for name in columns] for finding in findings), format_, clip=2_000)
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
        yield from of_store(store_of(document, db))


def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for package in PACKAGES:
        yield Finding(package, "ok", version(package))
    found = [f"{name} {_version_or_none(name)}" for name in CLIENTS if _version_or_none(name)]
    yield Finding("AI and HTTP clients", "ok" if found else "note", ", ".join(found) or f"none of {', '.join(CLIENTS)}")
    for way, packages in UNSEEN.items():
        unseen = ", ".join(package for package in packages if _version_or_none(package))
        if unseen:
            yield Finding(
                "not observed", "note", f"{unseen}: calls through {way} need spans of their SDK, or spectra.track"
            )


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
    yield from _environment(settings)
    for spec in document.pipelines:
        chain = " → ".join(map(str, (*spec.processors, f"[{', '.join(map(str, spec.exporters))}]")))
        yield Finding("configuration", "ok", f"{place}: {spec.id}: {chain}")
    return document


def _environment(settings: Settings) -> Iterator[Finding]:
    """Variables that explain why something is not where somebody looks for it."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Finding("configuration", "attention", "OTEL_SDK_DISABLED=true: nothing is attached")
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if sampler and "always_on" not in sampler:
        detail = f"OTEL_TRACES_SAMPLER={sampler}: calls that it drops are recorded here and not sent to a backend"
        yield Finding("configuration", "note", detail)
    if os.environ.get("SPECTRA_OTEL_ENDPOINT") and not settings.otel_enabled:
        yield Finding(
            "configuration",
            "note",
            "SPECTRA_OTEL_ENDPOINT is set and SPECTRA_OTEL_ENABLED is not: nothing is sent there",
        )
    if settings.provider_hosts:
        hosts = ", ".join(f"{host} = {name}" for host, name in dict(settings.provider_hosts).items())
        yield Finding("provider hosts", "ok", hosts)


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
    if health.doubt:
        yield Finding("budget ledger", "attention", health.doubt)
    if health.dead:
        yield Finding("budget leases", "note", f"{health.dead} of processes that are gone; the next refusal frees them")
    if health.overshoot:
        yield Finding(
            "budget overshoot", "attention", f"calls cost {cents(health.overshoot)} cents beyond their bounds"
        )
