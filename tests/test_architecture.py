"""Arrows go one way: pricing knows nothing above it, the core finds components only by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_MODULE = 600


def modules(folder: str) -> Iterator[Path]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] == "spectra_otel" and inside.parts[1] in ("processors", "exporters", "pricing"):
            continue  # the links; the folders themselves are read under their own names
        yield path


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def offenders(folder: str, forbidden: tuple[str, ...], allowed: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in sorted(imported(path))
        if name.startswith(forbidden) and not (allowed and name.startswith(allowed))
    ]


def test_pricing_knows_nothing_above_it() -> None:
    """``pricing`` could be a package of its own."""
    assert offenders("pricing", ("spectra_otel", "opentelemetry"), ("spectra_otel.pricing",)) == []


def test_the_core_never_imports_a_component() -> None:
    """The core reaches processors and exporters through the registry alone."""
    assert offenders("spectra_otel", ("spectra_otel.processors", "spectra_otel.exporters")) == []


def test_what_hosts_stand_on_knows_no_host() -> None:
    """Records, spans, components and pipelines know neither the app nor the collector nor the command line, not even as types."""
    hosts = ("budgets", "cli", "demo", "instrumentors", "middleware", "sdk", "service", "testing", "tracking")
    ground = (
        "component",
        "config",
        "dialects",
        "errors",
        "faults",
        "forks",
        "model",
        "otlp",
        "pipeline",
        "providers",
        "repricing",
    )
    found = offenders("spectra_otel", tuple(f"spectra_otel.{host}" for host in hosts))
    assert [line for line in found if line.startswith(tuple(f"spectra_otel/{name}" for name in ground))] == []


@pytest.mark.parametrize(
    ("folder", "others"),
    [("sdk", ("service", "cli", "demo")), ("service", ("cli", "demo")), ("budgets", ("service", "cli", "demo")),
     ("instrumentors", ("service", "cli", "demo")), ("tracking", ("service", "cli", "demo", "middleware"))],
)  # fmt: skip
def test_a_host_does_not_know_what_is_made_of_it(folder: str, others: tuple[str, ...]) -> None:
    """The command line starts hosts, the collector uses what apps use; nothing points back."""
    assert offenders(f"spectra_otel/{folder}", tuple(f"spectra_otel.{other}" for other in others)) == []


@pytest.mark.parametrize(("folder", "other"), [("processors", "exporters"), ("exporters", "processors")])
def test_components_do_not_know_the_other_kind(folder: str, other: str) -> None:
    """A processor does not know which exporter comes after it, nor the reverse."""
    assert offenders(folder, (f"spectra_otel.{other}",)) == []


def test_no_module_has_two_rooms_in_one() -> None:
    """A module of more than 600 lines wants to be two."""
    folders = ("spectra_otel", "processors", "exporters", "pricing", "bench", "tests")
    lengths = {path.relative_to(ROOT): path.read_text().count("\n") for folder in folders for path in modules(folder)}
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}
