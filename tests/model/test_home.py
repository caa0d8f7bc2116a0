"""Where files go: what the user said, else the platform's place, else a temporary folder, with one warning."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spectra_otel.model import home as module
from spectra_otel.model.home import database_path, file_system, home, writable_database_path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary folder is one of the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    module._said.clear()
    yield tmp_path
    module._said.clear()


def test_spectra_home_is_taken_and_made(tmp_path: Path) -> None:
    """The folder is made, for its owner alone."""
    place = tmp_path / "a" / "b"
    assert home({"SPECTRA_HOME": str(place)}) == place
    assert place.stat().st_mode & 0o077 == 0


def test_without_it_the_platform_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert home({}) == tmp_path / "share" / "spectra"


def test_a_place_that_cannot_be_made_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file where the folder should be, say: one line names setting, value and reason, and where files go instead."""
    (tmp_path / "file").write_text("")
    found = [home({"SPECTRA_HOME": str(tmp_path / "file" / "x")}) for _ in range(3)]
    assert set(found) == {tmp_path / f"spectra-{os.getuid()}"}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "SPECTRA_HOME" in caplog.text
    assert "Not a directory" in caplog.text


def test_threads_that_ask_at_once_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An app starts on several threads; the warning is one line all the same."""
    (tmp_path / "file").write_text("")
    gate = threading.Barrier(8)

    def ask(_: int) -> None:
        gate.wait()
        home({"SPECTRA_HOME": str(tmp_path / "file" / "x")})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    assert len(caplog.records) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_file_system_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the line."""
    place = tmp_path / "ro"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("no tmpfs here")
    try:
        assert file_system(place) == "tmpfs"
        assert home({"SPECTRA_HOME": str(place / "x")}) == tmp_path / f"spectra-{os.getuid()}"
        assert "Read-only file system" in caplog.text
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_network_file_system_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks do not hold between machines."""
    monkeypatch.setattr(module, "file_system", lambda folder: "nfs4")
    assert home({"SPECTRA_HOME": str(tmp_path / "x")}) == tmp_path / f"spectra-{os.getuid()}"
    assert "nfs4 is a network file system" in caplog.text


def test_no_home_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without HOME and without a user has a place too."""

    def lost(*args: object, **kwargs: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_data_path", lost)
    assert home({}) == tmp_path / f"spectra-{os.getuid()}"
    assert "no home folder" in caplog.text


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that is read-only throughout is told which setting helps."""

    def lost() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", lost)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match=r"SPECTRA_HOME: .*/file/x cannot be used \(Not a directory\), nor can a temporary"
    ):
        home({"SPECTRA_HOME": str(tmp_path / "file" / "x")})


def test_the_database_is_path_then_variable_then_home(tmp_path: Path) -> None:
    """The nearest wish wins; an empty one is none."""
    environ = {"SPECTRA_HOME": str(tmp_path / "home"), "SPECTRA_DB": str(tmp_path / "db.duckdb")}
    assert database_path("given.duckdb", environ) == Path.cwd() / "given.duckdb"
    assert database_path("", environ) == tmp_path / "db.duckdb"
    assert database_path("", environ | {"SPECTRA_DB": " "}) == tmp_path / "home" / "spectra.duckdb"


def test_a_database_that_cannot_be_written_goes_home(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An app whose SPECTRA_DB is in an impossible place still keeps its records, and says where."""
    (tmp_path / "file").write_text("")
    environ = {"SPECTRA_HOME": str(tmp_path / "home"), "SPECTRA_DB": str(tmp_path / "file" / "x.duckdb")}
    assert writable_database_path("", environ) == tmp_path / "home" / "spectra.duckdb"
    assert database_path("", environ) == tmp_path / "file" / "x.duckdb"
    assert len(caplog.records) == 1
    assert "SPECTRA_DB" in caplog.text


def test_a_temporary_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    """Who made it first could read along."""
    (tmp_path / "file").write_text("")
    (tmp_path / f"spectra-{os.getuid()}").symlink_to(tmp_path)
    found = home({"SPECTRA_HOME": str(tmp_path / "file" / "x")})
    assert found.name.startswith(f"spectra-{os.getuid()}-")
    assert found.stat().st_mode & 0o077 == 0
