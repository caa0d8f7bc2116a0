"""The distribution installs and works in fresh environments, from every form it comes in."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_BYTES = 120 * 1000 * 1000
MAX_DISTRIBUTIONS = 35

pytestmark = [pytest.mark.backend, pytest.mark.timeout(600)]

PROBE = """
import importlib, json, sys
from importlib.metadata import distributions
from pathlib import Path
for name in ("processors.cost.factory", "exporters.duckdb.factory", "pricing"):
    importlib.import_module(f"spectra_otel.{name}")
import spectra_otel
cost = spectra_otel.estimate("openai", "gpt-4o", prompt_tokens=1000, completion_tokens=500)
print(json.dumps({
    "cents": str(cost.total_cost_in_cents),
    "distributions": sorted(d.name for d in distributions()),
    "bytes": sum(f.stat().st_size for f in Path(sys.prefix, "lib").rglob("*") if f.is_file() and not f.is_symlink()),
}))
"""


def run(command: Sequence[str | Path], cwd: Path) -> str:
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stdout}\n{result.stderr}"
    return result.stdout


def fresh(folder: Path) -> Path:
    """A new virtual environment; returns its python."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    run([sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *what], ROOT)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", out, ROOT], out)
    return out


@pytest.mark.parametrize("form", ["wheel", "sdist", "folder", "editable"])
def test_a_fresh_environment_prices_a_call(form: str, built: Path, tmp_path: Path) -> None:
    """Wheel, sdist, ``pip install .`` and ``pip install -e .`` give the same working package and command."""
    python = fresh(tmp_path / "env")
    what: dict[str, list[str | Path]] = {
        "wheel": list(built.glob("*.whl")),
        "sdist": list(built.glob("*.tar.gz")),
        "folder": [ROOT],
        "editable": ["-e", ROOT],
    }
    install(python, *what[form])
    assert json.loads(run([python, "-c", PROBE], tmp_path))["cents"].startswith("0.75")
    assert "Usage" in run([python.parent / "spectra", "--help"], tmp_path)


def test_the_default_install_is_small(built: Path, tmp_path: Path) -> None:
    """At most 120 MB and 35 distributions, everything an app needs included."""
    python = fresh(tmp_path / "env")
    install(python, *built.glob("*.whl"))
    facts = json.loads(run([python, "-c", PROBE], tmp_path))
    print(f"{facts['bytes'] / 1e6:.1f} MB, {len(facts['distributions'])} distributions")
    assert facts["bytes"] <= MAX_BYTES
    assert len(facts["distributions"]) <= MAX_DISTRIBUTIONS, facts["distributions"]
