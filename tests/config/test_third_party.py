"""A component of somebody else's distribution is found through its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMPONENT = """
from dataclasses import dataclass
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from spectra_otel.component import Factory, Stability


@dataclass
class Config:
    indent: int = 2

    def validate(self):
        pass


def factory():
    return Factory("console", Stability.ALPHA, Config, lambda id_, config: ConsoleSpanExporter())
"""

CONFIG = """
receivers: {otlp: {protocols: {http: }}}
exporters: {console/mine: {indent: 4}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [console/mine]}}}
"""

CHECK = """
import sys
from spectra_otel.config.load import components, load, validate
from spectra_otel.pipeline import build

print(*validate([sys.argv[1]]))
if not validate([sys.argv[1]]):
    print([str(built.id) for built in build(load(sys.argv[1]))[0].exporters])
    print([(c.module, c.stability) for c in components() if c.type == "console"])
"""


def check(folder: Path) -> list[str]:
    """What a process says that has ``folder`` on its path."""
    (folder / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-c", CHECK, str(folder / "config.yaml")]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def install(folder: Path, name: str, value: str) -> None:
    """A distribution called ``name`` whose ``console`` exporter is ``value``."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[spectra_otel.exporters]\nconsole = {value}\n")


def test_it_is_configured_and_built_like_ours(tmp_path: Path) -> None:
    """Nothing of ours names it."""
    (tmp_path / "acme_console").mkdir()
    (tmp_path / "acme_console" / "__init__.py").write_text(COMPONENT)
    install(tmp_path, "acme", "acme_console:factory")
    assert check(tmp_path) == ["", "['console/mine']", "[('acme_console', 'alpha')]"]


def test_one_that_does_not_import_is_named(tmp_path: Path) -> None:
    """One line, and the other components work on."""
    install(tmp_path, "acme", "acme_console:factory")
    (line,) = check(tmp_path)
    assert "exporters: \"console\" cannot be loaded: ModuleNotFoundError: No module named 'acme_console'" in line


def test_two_distributions_with_one_type_are_named_both(tmp_path: Path) -> None:
    """Which of them would run must not depend on luck."""
    install(tmp_path, "acme", "acme_console:factory")
    install(tmp_path, "other", "other_console:factory")
    (line,) = check(tmp_path)
    assert 'exporters: type "console" is provided twice' in line
    assert "acme_console:factory" in line
    assert "other_console:factory" in line
