"""Reading in another process gives what reading here gives."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.cli import reading
from spectra_otel.cli.documents import SpanReader
from spectra_otel.cli.reading import RemoteSpanReader
from spectra_otel.errors import SpectraError

SPAN: dict[str, Any] = {
    "traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "parentSpanId": "0" * 15 + "3", "name": "chat", "kind": 3,
    "traceState": "a=b", "startTimeUnixNano": "5", "endTimeUnixNano": "9",
    "status": {"code": 2, "message": "no"},
    "attributes": [
        {"key": "text", "value": {"stringValue": "ü"}}, {"key": "count", "value": {"intValue": "7"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"doubleValue": 1.5}]}}},
        {"key": "flag", "value": {"boolValue": True}},
    ],
    "events": [{"name": "first", "timeUnixNano": "6", "attributes": [{"key": "k", "value": {"stringValue": "v"}}]}],
    "links": [{"traceId": "0" * 31 + "4", "spanId": "0" * 15 + "5", "traceState": "c=d"}],
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two good lines from two resources, and a bad one between them."""
    lines = []
    for name, span in (
        ("shop", SPAN),
        ("desk", {**SPAN, "spanId": "0" * 15 + "6", "parentSpanId": "", "status": {}, "endTimeUnixNano": "8"}),
    ):
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}
        scoped = {"scope": {"name": "scope", "version": "1"}, "schemaUrl": "https://example.com", "spans": [span]}
        lines.append(json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}))
    file = tmp_path / "spans.jsonl"
    file.write_text(f"{lines[0]}\nnot json\n{lines[1]}\n")
    return file


def test_spans_faults_and_bytes_are_the_same(path: Path) -> None:
    """Every part of a span comes over the pipe, in the same order."""
    heard: list[int] = []
    here, there = SpanReader([path]), RemoteSpanReader([path], heard.append)
    expected = [span.to_json() for batch in here for span in batch]
    assert [span.to_json() for batch in there for span in batch] == expected
    assert len(expected) == 2
    assert there.faults == here.faults
    assert len(there.faults) == 1
    assert sum(heard) == 2 * path.stat().st_size


def test_one_who_stops_listening_ends_the_reading(path: Path) -> None:
    """No process is left behind, and nothing is printed."""
    batches = iter(RemoteSpanReader([path]))
    next(batches)
    batches.close()  # type: ignore[attr-defined]


def test_a_reader_that_dies_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had not sent is missing, so the import must not look whole."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        reading.subprocess, "Popen", lambda command, **more: popen([command[0], "-c", "import os; os._exit(9)"], **more)
    )
    with pytest.raises(SpectraError, match="status 9"):
        list(RemoteSpanReader([path]))
