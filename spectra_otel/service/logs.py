"""Logs as the OpenTelemetry Collector writes and samples them: of one message, ten in ten seconds, then every hundredth."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import orjson

from spectra_otel.config.telemetry import LEVELS, Logs, Sampling
from spectra_otel.errors import ConfigError

_MOST_MESSAGES = 4_096
_CONSOLE = "%(asctime)s.%(msecs)03dZ\t%(levelname)s\t%(name)s\t%(message)s"
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


def _handler(path: str) -> logging.Handler:
    if path in ("stderr", "stdout"):
        return logging.StreamHandler(getattr(sys, path))
    try:
        return logging.FileHandler(path)
    except OSError as error:
        raise ConfigError(f"service::telemetry::logs::output_paths: cannot write '{path}': {error.strerror}") from error


def _formatter(logs: Logs) -> logging.Formatter:
    if logs.encoding == "json":
        return JsonFormatter(logs.initial_fields)
    formatter = logging.Formatter(_CONSOLE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the keys of the collector: level, ts, logger, msg."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "level": _NAMES.get(record.levelname, record.levelname.lower()),
            "ts": moment.replace("+00:00", "Z"),
            "logger": record.name,
            "msg": record.getMessage(),
            **self._fields,
        }
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


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
