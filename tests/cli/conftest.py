"""A store with a month of records, and a way to run the command line on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spectra_otel.cli import main
from tests.cli.support import Record, Spectra, records, store_at


@pytest.fixture
def spectra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spectra:
    """Run `spectra …` in a home of its own."""
    for name in ("SPECTRA_CONFIG", "SPECTRA_DB", "SPECTRA_PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))

    def run(*arguments: str | Path, **options: Any) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="spectra", **options)

    return run


@pytest.fixture(scope="session")
def merged_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds :func:`records`, made once."""
    home = tmp_path_factory.mktemp("merged") / "home"
    store = store_at(home / "spectra.duckdb")
    store.append(records())
    store.merge_pending()
    return home


@pytest.fixture
def recorded(spectra: Spectra, tmp_path: Path, merged_home: Path) -> list[Record]:
    """The records that the store at the default place holds."""
    shutil.copytree(merged_home, tmp_path / "home")
    return records()
