"""Logs as the OpenTelemetry Collector writes and samples them: of one message, ten in ten seconds, then every hundredth."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from threading import Lock
from typing import Any

import orjson

from spectra_otel.config.telemetry import LEVELS, Logs, Sampling
from spectra_otel.errors import ConfigError

_MOST_MESSAGES = 4_096
_NAMES = {python: ours for ours, python in LEVELS.items()} | {"CRITICAL": "error"}


def set_up(logs: Logs) -> None:
    """Write the logs of this process as ``logs`` says. Raises :class:`ConfigError` for a file that cannot be written."""
    handlers = [_handler(path) for path in logs.output_paths]
    for handler in handlers:
        handler.setFormatter(_formatter(logs))
        if logs.sampling.enabled:
            handler.addFilter(Sampler(logs.sampling))
    logging.basicConfig(level="WARNING", handlers=handlers, force=True)
    logging.getLogger("spectra_otel").setLevel(LEVELS[logs.level.lower()])


def fields(kind: str, id: object, **more: object) -> dict[str, Any]:
    """``extra`` of a log line that is about a component: what stands beside its message, under the collector's names."""
    return {"fields": {"otelcol.component.id": str(id), "otelcol.component.kind": kind, **more}}


def _handler(path: str) -> logging.Handler:
    if path in ("stderr", "stdout"):
        return _Stream(getattr(sys, path))
    try:
        return _File(path)
    except OSError as error:
        raise ConfigError(f"service::telemetry::logs::output_paths: cannot write '{path}': {error.strerror}") from error


class _Patient(logging.Handler):
    """Where a line cannot be written (a full disk, a reader that left), it is lost, and nothing else is said in its place."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called within the ``except``."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Stream(_Patient, logging.StreamHandler[Any]):
    """Standard error, standard output."""


class _File(_Patient, WatchedFileHandler):
    """A file, begun anew where logrotate has put it aside."""


def _formatter(logs: Logs) -> logging.Formatter:
    return (JsonFormatter if logs.encoding == "json" else ConsoleFormatter)(logs.initial_fields)


class ConsoleFormatter(logging.Formatter):
    """What the collector writes for people: time, level, logger and message with tabs between, then fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)}\t{_level(record)}\t{record.name}\t{record.getMessage()}"
        if fields := {**self._fields, **_fields_of(record)}:
            line += f"\t{orjson.dumps(fields, default=str).decode()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the keys of the collector: level, ts, logger, msg."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": _level(record),
            "ts": _moment(record),
            "logger": record.name,
            "msg": record.getMessage(),
            **self._fields,
            **_fields_of(record),
        }
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(record, "fields", {})
    return found


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelname, record.levelname.lower())


class Sampler(logging.Filter):
    """Lets through what is sampled. Messages are of a kind where level and text before its values are the same."""

    def __init__(self, sampling: Sampling, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._sampling = sampling
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[tuple[int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now, sampling = (record.levelno, str(record.msg)), self._clock(), self._sampling
        with self._lock:
            ends, count = self._seen.get(kind, (0.0, 0))
            if now >= ends:
                ends, count = now + float(sampling.tick), 0
                if len(self._seen) >= _MOST_MESSAGES:
                    self._seen.clear()
            count += 1
            self._seen[kind] = ends, count
        over = count - sampling.initial
        return over <= 0 or (sampling.thereafter > 0 and over % sampling.thereafter == 0)
