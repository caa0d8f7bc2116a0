"""The group itself: help, laziness, errors, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from spectra_otel.cli import COMMANDS, main, query
from spectra_otel.cli.options import moment
from tests.cli.support import Spectra


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, spectra: Spectra) -> None:
    """And imports on its own."""
    result = spectra(name, "--help")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Usage: spectra {name}")


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`spectra --help` is quick: no duckdb, no rich, no SDK, no command."""
    script = (
        "import sys, click.testing, spectra_otel.cli as cli\n"
        "result = click.testing.CliRunner().invoke(cli.main, ['--help'])\n"
        "assert result.exit_code == 0 and 'costs' in result.output\n"
        "heavy = {'duckdb', 'rich', 'yaml', 'opentelemetry', 'orjson'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [m for m in sys.modules if m.startswith('spectra_otel.cli.')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_store_of_another_user_is_one_line(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a collector, which runs as a user of its own."""

    def denied(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", denied)
    result = spectra("costs", "--db", "/var/lib/spectra/spectra.duckdb")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: /var/lib/spectra/spectra.duckdb: Permission denied; run this as the user whose it is\n"
    )


def test_a_command_that_is_not_there_is_a_usage_error(spectra: Spectra) -> None:
    """Status 2."""
    assert spectra("cost").exit_code == 2


def test_errors_of_ours_are_one_line_without_a_traceback(spectra: Spectra) -> None:
    """Status 1, on stderr."""
    result = spectra("validate", "--config", "/nowhere.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_of_few_characters_is_enough(encoding: str, tmp_path: Path) -> None:
    """A table has what looks alike in it; JSON is UTF-8 all the same."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "SPECTRA_HOME": str(tmp_path)}

    def printed(*words: str) -> bytes:
        command = [sys.executable, "-m", "spectra_otel.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert printed("costs").decode("ascii").splitlines()[1].startswith("-----")
    assert json.loads(printed("query", "--format", "json", "select 'né…' as word")) == [{"word": "né…"}]


def test_an_interrupted_query_is_aborted_in_one_word(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB makes a RuntimeError of Ctrl-C in the middle of a statement: status 1 and no traceback."""

    def interrupted(_db: str | None) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(query, "open_store", interrupted)
    result = spectra("query", "select 1")
    assert (result.exit_code, result.stderr.strip()) == (1, "Aborted!")


def test_the_module_runs_like_the_command() -> None:
    """`python -m spectra_otel.cli` where no script is on the path."""
    run = subprocess.run(
        [sys.executable, "-m", "spectra_otel.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("spectra, version ")


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-01-01", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T12:30:00+02:00", "2026-01-01T10:30:00+00:00"),
        ("2026-01-01T12:30:00Z", "2026-01-01T12:30:00+00:00"),
    ],
)
def test_moments_are_utc(text: str, iso: str) -> None:
    """A day is its 00:00 UTC; an offset is honoured."""
    found = moment(click.Context(main), click.Option(["--since"]), text)
    assert found is not None
    assert found.isoformat() == iso
