"""Writes OTLP JSON, one request per line, as the collector's file exporter does.

Several processes may write to one file: a batch is one write under a lock file beside it, and a file that another process has put
aside is noticed before the next write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel.errors import ConfigError
from spectra_otel.exporters.file.config import FileConfig, Rotation
from spectra_otel.otlp.json import write_document

_MEBIBYTE = 1024 * 1024
_DAY_SECONDS = 24 * 3600
_LOCK_TIMEOUT_SECONDS = 10


class FileExporter(SpanExporter):
    """Appends each batch to ``config.path`` as one line.

    Raises:
        ConfigError: The file cannot be written; found out here rather than at the first batch.
    """

    def __init__(self, config: FileConfig) -> None:
        self._path = Path(config.path)
        try:
            if config.create_directory:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab" if config.append else "wb"):
                pass
        except OSError as error:
            raise ConfigError(f"path: cannot write '{config.path}': {error.strerror}") from error
        # A pipe or a terminal (/dev/stdout) has no lock file beside it, and never rotates.
        is_regular = self._path.is_file()
        self._lock = FileLock(f"{config.path}.lock", timeout=_LOCK_TIMEOUT_SECONDS) if is_regular else nullcontext()
        self._rotation = config.rotation if is_regular else None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append ``spans``. An OSError (a full disk) reaches the pipeline, which reports it."""
        line = write_document(list(spans))
        with self._lock:
            if self._rotation is not None:
                self._rotate(self._rotation, len(line))
            _append(self._path, line)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered."""
        return True

    def _rotate(self, rotation: Rotation, size: int) -> None:
        try:
            used = self._path.stat().st_size
        except FileNotFoundError:
            return
        if used == 0 or used + size <= rotation.max_megabytes * _MEBIBYTE:
            return
        now = datetime.now() if rotation.localtime else datetime.now(UTC)
        stamp = f"{now:%Y-%m-%dT%H-%M-%S.%f}"
        self._path.rename(self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        self._remove_old(rotation)

    def _remove_old(self, rotation: Rotation) -> None:
        backups = sorted(self._path.parent.glob(f"{self._path.stem}-????-??-??T??-??-??.*{self._path.suffix}"))
        old = backups[: -rotation.max_backups] if rotation.max_backups else []
        if rotation.max_days:
            oldest = time.time() - rotation.max_days * _DAY_SECONDS
            old += [backup for backup in backups if backup.stat().st_mtime < oldest]
        for backup in set(old):
            with suppress(FileNotFoundError):
                backup.unlink()


def _append(path: Path, line: bytes) -> None:
    """Write all of ``line`` or, if the disk is full, nothing: a torn line would make the next one unreadable too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
