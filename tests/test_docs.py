"""The documentation says what the code does: names appear, generated parts are current, links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.component import Kind, registry
from spectra_otel.config.settings import SETTINGS
from spectra_otel.model.fields import COST_STATUSES, FIELDS

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("processors/*/README.md"),
        *ROOT.glob("exporters/*/README.md"),
    ]
)
COMPONENTS = [(kind, name) for kind in Kind for name in registry(kind)]
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_generated_parts_are_current() -> None:
    """``python docs/generate.py`` would change nothing."""
    filled: Callable[[str], str] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["filled"]
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        assert filled(path.read_text()) == path.read_text(), f"{path.name}: run python docs/generate.py"


@pytest.mark.parametrize("name", list(FIELDS))
def test_every_field_is_documented(name: str) -> None:
    """A column that people query has a meaning they can look up."""
    assert f"`{name}`" in page("vocabulary.md")


@pytest.mark.parametrize("status", COST_STATUSES)
def test_every_cost_status_is_documented(status: str) -> None:
    """Each status of a cost says what it means."""
    assert f"| `{status}` |" in page("vocabulary.md")


def test_every_setting_is_documented() -> None:
    """Each environment variable stands in the table of settings."""
    assert [s.name for s in SETTINGS if f"`{s.name}`" not in page("settings.md")] == []


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=[f"{k}/{n}" for k, n in COMPONENTS])
def test_every_setting_of_a_component_is_in_its_readme(kind: Kind, name: str) -> None:
    """The README beside a component names each of its settings."""
    factory = registry(kind)[name]
    suffix = {Kind.RECEIVER: "receiver", Kind.EXTENSION: "extension"}.get(kind)
    folder = f"spectra_otel/service/{name}_{suffix}" if suffix else f"{kind}/{name}"
    text = (ROOT / folder / "README.md").read_text()
    config: Any = factory.default_config()
    assert [f.name for f in dataclasses.fields(config) if f"`{f.name}`" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link names a file that exists."""
    assert [target for target in _LINK.findall(path.read_text()) if not (path.parent / target).exists()] == []


def test_every_line_of_doctor_is_explained() -> None:
    """Each subject that `spectra doctor` may print stands on the page about trouble."""
    text = page("troubleshooting.md")
    modules = [(ROOT / "spectra_otel" / "cli" / name).read_text() for name in ("doctor.py", "findings.py")]
    subjects = {subject for module in modules for subject in re.findall(r'Finding\(\s*"([^"]+)"', module)}
    assert len(subjects) > 15
    assert [subject for subject in subjects if f"`{subject}`" not in text] == []


def test_every_cost_status_that_is_short_of_known_is_explained() -> None:
    """A status that is neither a price nor free has its reason and its remedy there."""
    known = {"priced", "provider", "cache_hit", "free"}
    assert [s for s in COST_STATUSES if s not in known and f"| `{s}` |" not in page("troubleshooting.md")] == []
