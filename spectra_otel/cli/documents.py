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
from itertools import islice, starmap
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.otlp.files import Piece, pieces
from spectra_otel.otlp.rows import END, Row, span_of

WINDOW = 1_024
"""Spans that are sorted at a time, at least."""
BATCH = 64
"""Spans that are handed on at a time: few enough to be still in the processor's cache when the next stage takes them."""
_KEY = b'"endTimeUnixNano"'
_VALUE = re.compile(rb'\s*:\s*"?(\d{1,20})')
_ended: Callable[[tuple[int, object]], int] = itemgetter(0)
T = TypeVar("T")


class _Request(NamedTuple):
    """One request: when its earliest span ends (ns), and where it lies."""

    ends: int
    piece: Piece


@dataclass(slots=True)
class SpanReader:
    """Reads files; iterating gives lists of spans in the order of their end.

    ``on_bytes`` hears how many bytes were dealt with (each file counts twice: it is read twice); ``faults`` gathers one message
    for each line, document or span that could not be read.
    """

    paths: Sequence[Path]
    on_bytes: Callable[[int], None] = lambda _: None
    faults: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[ReadableSpan]]:
        for rows in self.rows(_as_it_is):
            yield from in_batches(starmap(span_of, rows))

    def rows(self, keep: Callable[[Row], T]) -> Iterator[list[T]]:
        """What ``keep`` makes of the spans' rows while they wait for their turn."""
        requests = sorted(request for path in dict.fromkeys(self.paths) for request in self._find(path))
        waiting: list[tuple[int, T]] = []
        enough = WINDOW
        files: dict[Path, BinaryIO] = {}
        try:
            for index, request in enumerate(requests):
                waiting += [(row[END], keep(row)) for row in self._read(request.piece, files)]
                if len(waiting) < enough or index + 1 == len(requests):
                    continue
                waiting.sort(key=_ended)
                ready = bisect_left(waiting, requests[index + 1].ends, key=_ended)
                if ready:
                    yield [kept for _, kept in waiting[:ready]]
                    del waiting[:ready]
                # Growing, so that a long wait is not sorted again and again.
                enough = len(waiting) + max(WINDOW, len(waiting) // 2)
        finally:
            for file in files.values():
                file.close()
        waiting.sort(key=_ended)
        yield [kept for _, kept in waiting]

    def _find(self, path: Path) -> Iterator[_Request]:
        """The requests of a file: the first pass."""
        for piece, text in pieces(path):
            yield _Request(_earliest_end(text), piece)
            self.on_bytes(piece.length)

    def _read(self, piece: Piece, files: dict[Path, BinaryIO]) -> Iterator[Row]:
        """The spans of a request: the second pass. What is not OTLP JSON is noted and left out."""
        file = files.get(piece.path) or files.setdefault(piece.path, piece.path.open("rb"))
        file.seek(piece.offset)
        text = file.read(piece.length)
        self.on_bytes(piece.length)
        return piece.rows(text, lambda error: self.faults.append(str(error)))


def _earliest_end(text: bytes) -> int:
    # To split by the key and look at what follows takes a tenth of the time of a search with the whole pattern.
    _, *rests = text.split(_KEY)
    return min((int(found[1]) for rest in rests if (found := _VALUE.match(rest))), default=0)


def in_batches(spans: Iterator[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """Lists of :data:`BATCH` spans."""
    while batch := list(islice(spans, BATCH)):
        yield batch


def _as_it_is(row: Row) -> Row:
    return row
