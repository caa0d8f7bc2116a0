"""`file`: OTLP JSON lines, shared by processes, rotated, never torn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.errors import ConfigError
from spectra_otel.exporters.file.config import FileConfig, Rotation
from spectra_otel.exporters.file.exporter import FileExporter
from spectra_otel.otlp.files import read_file
from spectra_otel.testing import make_request


def write(path: Path, count: int = 1, **settings: Any) -> None:
    """Export ``count`` requests in batches of one."""
    config = FileConfig(path=str(path), **settings)
    config.validate()
    exporter = FileExporter(config)
    for _ in range(count):
        span = make_request().span
        assert span is not None
        exporter.export([span])
    exporter.shutdown()


def test_each_batch_is_one_line_that_can_be_read_again(tmp_path: Path) -> None:
    """The form of the collector's file exporter."""
    path = tmp_path / "traces.jsonl"
    write(path, 3)
    lines = path.read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [["resourceSpans"]] * 3
    spans = list(read_file(path))
    assert [span.name for span in spans] == ["chat gpt-4o"] * 3
    assert (spans[0].attributes or {})["gen_ai.usage.cost.amount"] == 0.0075


def test_a_file_that_is_there_is_continued_unless_told_otherwise(tmp_path: Path) -> None:
    """`append: false` empties it at the start."""
    path = tmp_path / "traces.jsonl"
    write(path)
    write(path)
    assert len(path.read_text().splitlines()) == 2
    write(path, append=False)
    assert len(path.read_text().splitlines()) == 1


def test_a_full_file_is_put_aside_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotation by size; `max_backups` and `max_days` bound what is kept."""
    monkeypatch.setattr("spectra_otel.exporters.file.exporter._MEBIBYTE", 2500)
    path = tmp_path / "traces.jsonl"
    write(path, 10, rotation=Rotation(max_megabytes=1, max_backups=2))
    backups = sorted(tmp_path.glob("traces-*.jsonl"))
    assert len(backups) == 2
    assert all(backup.stat().st_size <= 2500 for backup in backups)
    long_ago = time.time() - 3 * 86400
    os.utime(backups[0], (long_ago, long_ago))
    write(path, 3, rotation=Rotation(max_megabytes=1, max_days=2, max_backups=0))
    assert backups[0] not in tmp_path.iterdir()
    assert backups[1] in tmp_path.iterdir()


def test_processes_share_a_file_and_lose_nothing(tmp_path: Path) -> None:
    """Four writers, rotation on: every line whole, every span there once."""
    path = tmp_path / "traces.jsonl"
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from pathlib import Path; import test_file as t; from spectra_otel.exporters.file import exporter\n"
        "exporter._MEBIBYTE = 20_000\n"
        "t.write(Path(sys.argv[2]), 50, rotation=t.Rotation(max_megabytes=1, max_backups=0))"
    )
    here = str(Path(__file__).parent)
    writers = [subprocess.Popen([sys.executable, "-c", code, here, str(path)]) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    files = [path, *tmp_path.glob("traces-*.jsonl")]
    assert len(files) > 5
    ids = [span.context.span_id for file in files for span in read_file(file) if span.context]
    assert len(ids) == len(set(ids)) == 200


def test_a_full_disk_leaves_no_torn_line() -> None:
    """The error reaches the pipeline, and what is there stays readable."""
    from spectra_otel.exporters.file.exporter import _append

    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is a Linux device")
    with pytest.raises(OSError, match=r"No space left|Invalid argument"):
        _append(Path("/dev/full"), b"{}\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": ""}, "path must be non-empty"),
        ({"path": "{tmp}/none/x.jsonl"}, "path: cannot write '.*': No such file or directory"),
        (
            {"path": "{tmp}/x", "append": False, "rotation": Rotation()},
            "append: got 'false' with rotation, valid: true",
        ),
        ({"path": "{tmp}/x", "rotation": Rotation(max_days=-1)}, "rotation::max_days: got '-1', valid: 0 or more"),
    ],
)
def test_what_cannot_work_is_said_at_start(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    """One line, before the first export."""
    settings["path"] = Path(settings["path"].format(tmp=tmp_path)) if settings["path"] else ""
    with pytest.raises(ConfigError, match=message):
        write(**settings)


def test_standard_output_is_a_file_too() -> None:
    """`/dev/stdout` through a pipe, without a lock file in /dev."""
    if not Path("/dev/stdout").exists():
        pytest.skip("no /dev/stdout here")
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import test_file as t; t.write(t.Path('/dev/stdout'), 2)"
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [list(json.loads(line)) for line in result.stdout.splitlines()] == [["resourceSpans"]] * 2
    assert not Path("/dev/stdout.lock").exists()


def test_the_folder_is_made_when_asked(tmp_path: Path) -> None:
    """`create_directory`."""
    write(tmp_path / "a" / "b.jsonl", create_directory=True)
    assert (tmp_path / "a" / "b.jsonl").exists()
