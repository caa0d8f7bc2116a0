"""`spectra import`: OTLP JSON files into the store, through the same processors as an app's spans, exactly once by id."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.cli.documents import SpanReader
from spectra_otel.cli.options import db_option, effective_document, enrichers, store_of
from spectra_otel.cli.reading import RemoteSpanReader
from spectra_otel.cli.unpacking import unpacked
from spectra_otel.component import Processor
from spectra_otel.errors import StoreBusyError
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import record_of
from spectra_otel.model.store import MergeResult

LONG_IMPORT = 8_000_000
"""Bytes from which a progress bar, and a process for the reading, are worth their place."""
_SHOWN_FAULTS = 20


@dataclass(slots=True)
class RecordStream:
    """Spans in, records out; counts both."""

    reader: SpanReader | RemoteSpanReader
    processors: Sequence[Processor]
    spans: int = 0
    records: int = 0

    def __iter__(self) -> Iterator[TrackedRequest]:
        for batch in self.reader:
            self.spans += len(batch)
            finished: Sequence[ReadableSpan] = batch
            for processor in self.processors:
                finished = processor.process(finished)
            for span in finished:
                record = record_of(span)
                if record is not None:
                    self.records += record.rev == 0
                    yield record
                    record.span = None  # they hold each other: apart, both are freed at once, without the collector


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@db_option
def import_(files: tuple[Path, ...], db: str | None) -> None:
    """Import OTLP JSON files: one request per line, as the collector's file exporter writes them, or whole documents.

    Files may be compressed with gzip or zstd; `-` is stdin.
    Spans are taken in the order of their end, within and across the files; a span that is already in the store is
    not counted again. Where a line cannot be read the rest is imported, the line is named and the exit status is 1.
    """
    document = effective_document()
    store = store_of(document, db)
    waiting = ""
    with unpacked(files) as found, _progress(found.paths) as advance, _rare_collections():
        stream = RecordStream(_reader(found.paths, advance), enrichers(document))
        records = iter(stream)
        try:
            store.merge_pending()  # what apps left in the spool is none of what this import brings
            result = store.import_records(records)
        except StoreBusyError as error:
            store.append(records)  # what is left of them: all are on disk then, and merged when the file is free
            result, waiting = MergeResult(), f"; the records wait in the spool: {error}"
    parts = [f"{stream.spans} spans", f"{stream.records} records"]
    if not waiting:
        parts.append(f"{result.new} new")
    if result.duplicates:
        parts.append(f"{result.duplicates} already there")
    if result.pending:
        parts.append(f"{result.pending} waiting for another process to merge them")
    click.echo(f"{', '.join(parts)} in {store.path}{waiting}", err=True)
    _report([*found.faults, *map(found.named, stream.reader.faults)])


def _reader(files: Sequence[Path], advance: Callable[[int], None]) -> SpanReader | RemoteSpanReader:
    """Reads here, or beside where the import is long and there is a core for it."""
    is_long = sum(path.stat().st_size for path in files) >= LONG_IMPORT
    return RemoteSpanReader(files, advance) if is_long and (os.cpu_count() or 1) > 1 else SpanReader(files, advance)


def _report(faults: Sequence[str]) -> None:
    for fault in faults[:_SHOWN_FAULTS]:
        click.echo(f"Error: {fault}", err=True)
    if len(faults) > _SHOWN_FAULTS:
        click.echo(f"Error: and {len(faults) - _SHOWN_FAULTS} more", err=True)
    if faults:
        raise click.exceptions.Exit(1)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cyclic garbage rarely: an import makes none, and looking for it takes a third of the time."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while a long import runs in a terminal."""
    total = 2 * sum(path.stat().st_size for path in files)  # each file is read twice
    if total < 2 * LONG_IMPORT or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=total)
        yield lambda count: bar.advance(task, count)
