"""Spans come out of files in the order of their end, whatever the files look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.cli import documents
from spectra_otel.cli.documents import SpanReader


def request(*ends: int) -> dict[str, Any]:
    """An OTLP request with a span for each time of end."""
    spans = [
        {
            "traceId": f"{end:032x}", "spanId": f"{end:016x}", "name": str(end), "kind": 3,
            "startTimeUnixNano": "1", "endTimeUnixNano": str(end),
        }
        for end in ends
    ]  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def lines(path: Path, *requests: Any) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in requests))
    return path


def ends(reader: SpanReader) -> list[int]:
    return [span.end_time or 0 for batch in reader for span in batch]


def test_spans_are_ordered_within_and_across_files(tmp_path: Path) -> None:
    """A file of lines and a formatted document interleave by time of end."""
    first = lines(tmp_path / "a.jsonl", request(50, 10), request(30))
    second = tmp_path / "b.json"
    second.write_text(json.dumps(request(40, 20), indent=2))
    assert ends(SpanReader([first, second])) == [10, 20, 30, 40, 50]


def test_order_holds_however_small_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are let go early, yet never before an earlier one that is still to come."""
    monkeypatch.setattr(documents, "WINDOW", 2)
    numbers = [(7 * i) % 101 + 1 for i in range(100)]
    files = [lines(tmp_path / f"{n}.jsonl", *(request(*numbers[i : i + 3]) for i in range(n, 100, 6))) for n in (0, 3)]
    reader = SpanReader(files)
    batches = [[span.end_time or 0 for span in batch] for batch in reader]
    assert [end for batch in batches for end in batch] == sorted(numbers)
    assert len(batches) > 1


def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """One torn line costs one line."""
    path = lines(tmp_path / "a.jsonl", request(1), '{"resourceSpans": [', request(2))
    reader = SpanReader([path])
    assert ends(reader) == [1, 2]
    assert len(reader.faults) == 1
    assert reader.faults[0].startswith(f"{path}:2: ")


def test_a_bad_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    """Whether a file holds lines is not decided by its first line alone."""
    path = lines(tmp_path / "a.jsonl", "oops", request(2), request(1))
    reader = SpanReader([path])
    assert ends(reader) == [1, 2]
    assert [fault.startswith(f"{path}:1: ") for fault in reader.faults] == [True]


@pytest.mark.parametrize("text", ["", "\n\n", "{}", '{"resourceSpans": []}'])
def test_an_empty_document_is_fine(tmp_path: Path, text: str) -> None:
    """An instrumentation that emitted nothing is not an error."""
    path = tmp_path / "a.json"
    path.write_text(text)
    reader = SpanReader([path])
    assert (ends(reader), reader.faults) == ([], [])


@pytest.mark.parametrize("text", ["[1, 2]", "null", '"x"', "<html>", '{"resourceSpans": 3}', "\x00\x01", '{\n "a": '])
def test_what_is_not_otlp_json_is_one_message(tmp_path: Path, text: str) -> None:
    """Whatever else the file holds, nothing is raised."""
    path = tmp_path / "a.json"
    path.write_text(text)
    reader = SpanReader([path])
    assert ends(reader) == []
    assert len(reader.faults) == 1
    assert str(path) in reader.faults[0]
    assert "\n" not in reader.faults[0]


def test_a_byte_order_mark_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    """As Windows tools write them."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(request(1)).encode() + b"\r\n\r\n" + json.dumps(request(2)).encode())
    reader = SpanReader([path])
    assert (ends(reader), reader.faults) == ([1, 2], [])


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    """`spectra import a.json a.json` is a slip, not a wish."""
    path = lines(tmp_path / "a.jsonl", request(1))
    assert ends(SpanReader([path, path])) == [1]


def test_an_error_in_a_formatted_document_names_its_line(tmp_path: Path) -> None:
    """In a document of a thousand lines, the one where the JSON ends is worth a look."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(request(1), indent=2).replace('"kind": 3,', '"kind": 3'))
    reader = SpanReader([path])
    assert ends(reader) == []
    (line,) = (number for number, text in enumerate(path.read_text().splitlines(), 1) if '"startTime' in text)
    assert [fault.partition(": ")[0] for fault in reader.faults] == [f"{path}:{line}"]
