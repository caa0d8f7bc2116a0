"""OTLP JSON files as a stream of spans in the order of their end, in bounded memory.

A file holds one request per line, as the collector's file exporter writes it, or one document of many lines. A first pass
over the bytes notes where each request lies and when its earliest span ends; the second decodes requests in that order and
lets a span go once no request that is still to come can hold an earlier one. So a file may be larger than memory, and spans
of one response come together however they are spread over the files.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.otlp.json import read_document

BATCH = 1_024
_END_TIME = re.compile(rb'"endTimeUnixNano"\s*:\s*"?(\d{1,20})')
_ended: Callable[[ReadableSpan], int] = attrgetter("end_time")  # an OTLP document without it is refused
_BOM = b"\xef\xbb\xbf"


class Request(NamedTuple):
    """One request in a file: when its earliest span ends (ns), and where it lies. ``line`` is 0 for a whole document."""

    ends: int
    path: Path
    line: int
    offset: int
    length: int

    @property
    def label(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


@dataclass(slots=True)
class SpanReader:
    """Reads files; iterating gives lists of spans in the order of their end.

    ``on_bytes`` hears how many bytes were dealt with (each file counts twice: it is read twice); ``faults`` gathers one message
    for each line, document or span that could not be read.
    """

    paths: Sequence[Path]
    on_bytes: Callable[[int], None] = lambda _: None
    faults: list[str] = field(default_factory=list)
    requests: int = 0

    def __iter__(self) -> Iterator[list[ReadableSpan]]:
        requests = sorted(request for path in dict.fromkeys(self.paths) for request in self._find(path))
        self.requests = len(requests)
        waiting: list[ReadableSpan] = []
        enough = BATCH
        files: dict[Path, BinaryIO] = {}
        try:
            for index, request in enumerate(requests):
                waiting += self._read(request, files)
                if len(waiting) < enough or index + 1 == len(requests):
                    continue
                waiting.sort(key=_ended)
                ready = bisect_left(waiting, requests[index + 1].ends, key=_ended)
                if ready:
                    yield waiting[:ready]
                    del waiting[:ready]
                enough = len(waiting) + max(
                    BATCH, len(waiting) // 2
                )  # so that a long wait is not sorted again and again
        finally:
            for file in files.values():
                file.close()
        waiting.sort(key=_ended)
        yield waiting

    def _find(self, path: Path) -> Iterator[Request]:
        """The requests of a file: the first pass."""
        if not _is_lines(path):
            data = path.read_bytes()
            self.on_bytes(len(data))
            if data.strip():
                yield Request(_earliest_end(data), path, 0, 0, len(data))
            return
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield Request(_earliest_end(line), path, number, offset, len(line))
                offset += len(line)
                self.on_bytes(len(line))

    def _read(self, request: Request, files: dict[Path, BinaryIO]) -> Sequence[ReadableSpan]:
        """The spans of a request: the second pass. What is not OTLP JSON is noted and left out."""
        file = files.get(request.path) or files.setdefault(request.path, request.path.open("rb"))
        file.seek(request.offset)
        data = file.read(request.length)
        self.on_bytes(request.length)
        return read_document(data.removeprefix(_BOM), request.label, lambda error: self.faults.append(str(error)))


def _earliest_end(data: bytes) -> int:
    return min(map(int, _END_TIME.findall(data)), default=0)


def _is_lines(path: Path) -> bool:
    """Whether a file holds one request per line, rather than one document over many lines."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
        if _is_json(first.removeprefix(_BOM)):
            return True
        if first.strip() in (b"{", b"["):
            return False  # a document that somebody formatted
        file.seek(0)
        return not _is_json(file.read().removeprefix(_BOM))


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
