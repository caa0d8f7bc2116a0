"""A long import: records are made on one core while those before them are appended and merged on the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread

from spectra_otel.exporters.duckdb.merge import Merger
from spectra_otel.exporters.duckdb.spool import Lines
from spectra_otel.model.store import MergeResult, Progress


class _Merging(Thread):
    """One merge of all that is in the spool; keeps what it returned or raised."""

    def __init__(self, merger: Merger) -> None:
        super().__init__(name="spectra-import", daemon=True)
        self._merger = merger
        self.done = Event()
        """Waited for instead of the thread: a join that Ctrl-C interrupts takes the thread for ended, in Python 3.11."""
        self.result = MergeResult()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.result = self._merger.merge_all()
        except Exception as error:
            self.error = error
        finally:
            self.done.set()


def append_alongside(append: Callable[[Lines], int], batches: Iterable[Lines]) -> Generator[int, None, None]:
    """Call ``append`` for each of ``batches``, while the next is being made: it mostly waits for the disk.

    However the caller stops, what was drawn from ``batches`` is on disk, unless ``append`` raised.
    """
    with ThreadPoolExecutor(1, "spectra-append") as writer:
        pending: Future[int] | None = None
        for lines in batches:
            done, pending = pending, writer.submit(append, lines)
            if done is not None:
                yield done.result()
        if pending is not None:
            yield pending.result()


def merge_alongside(merger: Merger, appended: Iterable[int], progress: Progress | None) -> MergeResult:
    """Draw from ``appended`` (each item appends one segment and tells its rows) and merge as segments come.

    Raises what the merge raised; the segments stay in the spool then.
    """
    total = MergeResult()
    merging: _Merging | None = None
    rows = 0
    try:
        for count in appended:
            rows += count
            if merging is None or merging.done.is_set():
                total += _finished(merging)
                merging = _Merging(merger)
                merging.start()
            if progress:
                progress(total.new, rows)
        total += _finished(merging)
    except BaseException:  # Ctrl-C, say: a thread within DuckDB at the end of the process would make that an abort
        if merging is not None:
            merger.stopping = True
            merging.done.wait()
        raise
    total += merger.merge_all(progress)
    return total


def _finished(merging: _Merging | None) -> MergeResult:
    if merging is None:
        return MergeResult()
    merging.done.wait()
    if merging.error is not None:
        raise merging.error
    return merging.result
