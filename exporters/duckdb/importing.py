"""A long import: records are read and appended on one core while the merge runs on the other."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Thread

from spectra_otel.exporters.duckdb.merge import Merger
from spectra_otel.model.store import MergeResult, Progress


class _Merging(Thread):
    """One merge of all that is in the spool; keeps what it returned or raised."""

    def __init__(self, merger: Merger) -> None:
        super().__init__(name="spectra-import", daemon=True)
        self._merger = merger
        self.result = MergeResult()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.result = self._merger.merge_all()
        except Exception as error:
            self.error = error


def merge_alongside(merger: Merger, appended: Iterable[int], progress: Progress | None) -> MergeResult:
    """Draw from ``appended`` (each item appends one segment and tells its rows) and merge as segments come.

    Raises what the merge raised; the segments stay in the spool then.
    """
    total = MergeResult()
    merging: _Merging | None = None
    rows = 0
    for count in appended:
        rows += count
        if merging is None or not merging.is_alive():
            total += _finished(merging)
            merging = _Merging(merger)
            merging.start()
        if progress:
            progress(total.new, rows)
    total += _finished(merging)
    total += merger.merge_all(progress)
    return total


def _finished(merging: _Merging | None) -> MergeResult:
    if merging is None:
        return MergeResult()
    merging.join()
    if merging.error is not None:
        raise merging.error
    return merging.result
