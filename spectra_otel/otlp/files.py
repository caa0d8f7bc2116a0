"""OTLP JSON files: one request per line, as the collector's file exporter writes them, or one document, formatted or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import orjson
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.errors import ImportFormatError
from spectra_otel.otlp.json import SIGNALS, OnError, fail, read_rows
from spectra_otel.otlp.rows import Row, span_of

_BOM = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """A request in a file: where it lies. ``line`` is 0 for a whole document."""

    path: Path
    line: int
    offset: int
    length: int

    def rows(self, text: bytes, on_error: OnError = fail) -> Iterator[Row]:
        """The spans of this piece, whose text is ``text``; messages name the line."""
        text = text.removeprefix(_BOM)
        if self.line:
            return read_rows(text, f"{self.path}:{self.line}", on_error)
        return read_rows(text, str(self.path), on_error, first_line=1)


def pieces(path: Path) -> Iterator[tuple[Piece, bytes]]:
    """The requests of a file and their texts, in the order they stand there. Raises :class:`OSError`."""
    if not _is_lines(path):
        data = path.read_bytes()
        if data.strip():
            yield Piece(path, 0, 0, len(data)), data
        return
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.isspace():
                yield Piece(path, number, offset, len(line)), line
            offset += len(line)


def read_file(path: str | Path, on_error: OnError = fail) -> Iterator[ReadableSpan]:
    """The spans of a file, in the order they stand there.

    What cannot be used goes to ``on_error`` as :class:`ImportFormatError` that names file and line (and span); with the default,
    the first one is raised.
    """
    try:
        for piece, text in pieces(Path(path)):
            yield from starmap(span_of, piece.rows(text, on_error))
    except OSError as error:
        on_error(ImportFormatError(f"{path}: cannot be read: {error.strerror or error}"))


def _is_lines(path: Path) -> bool:
    """Whether a file holds one request per line: its first line is JSON by itself, or, where that one is torn, a later one."""
    with path.open("rb") as file:
        lines = (line for line in file if not line.isspace())
        first = next(lines, b"").removeprefix(_BOM)
        return _parsed(first) is not None or any(line.startswith(b"{") and _is_request(line) for line in lines)


def _is_request(line: bytes) -> bool:
    """Whether a line is a request, and not a part of a document that somebody formatted."""
    parsed = _parsed(line)
    return isinstance(parsed, dict) and any(key in parsed for key in SIGNALS)


def _parsed(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
