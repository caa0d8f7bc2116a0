"""The package list, the links and the entry points are what the folders are."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED = ("processors", "exporters", "pricing")


def test_every_package_is_listed() -> None:
    """A subpackage that pyproject.toml forgets would be missing from the wheel."""
    tool = PYPROJECT["tool"]["setuptools"]
    found = set()
    for name, folder in tool["package-dir"].items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            relative = init.parent.relative_to(ROOT / folder)
            if relative.parts and f"{name}.{relative.parts[0]}" in tool["package-dir"]:
                continue  # the linked view of another mapped folder
            found.add(".".join((name, *relative.parts)))
    assert found == set(tool["packages"])


@pytest.mark.parametrize("folder", MAPPED)
def test_tools_see_the_import_names_through_links(folder: str) -> None:
    """``spectra_otel/processors`` is a tracked relative link, so type checkers see what the wheel will hold."""
    link = ROOT / "spectra_otel" / folder
    if not link.is_symlink():
        pytest.skip("a checkout without symbolic links")
    assert link.readlink() == Path("..") / folder


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (group, name, value)
        for group, points in PYPROJECT["project"]["entry-points"].items()
        for name, value in points.items()
    ],
)
def test_every_entry_point_loads(group: str, name: str, value: str) -> None:
    """What pyproject.toml announces can be imported."""
    module, _, attribute = value.partition(":")
    assert callable(getattr(import_module(module), attribute)), f"{group}: {name}"


@pytest.mark.parametrize("kind", ["receivers", "processors", "exporters"])
def test_every_component_has_its_readme(kind: str) -> None:
    """A component folder documents its settings beside its code."""
    for value in PYPROJECT["project"]["entry-points"][f"spectra_otel.{kind}"].values():
        module = import_module(value.partition(":")[0])
        assert module.__file__ is not None
        assert (Path(module.__file__).parent / "README.md").is_file(), value
