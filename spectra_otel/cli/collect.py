"""`spectra collect`: the stand-alone collector."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from spectra_otel.cli.configuration import config_option, set_option
from spectra_otel.errors import ConfigError
from spectra_otel.model.home import insist

if TYPE_CHECKING:
    from spectra_otel.config.document import Document
    from spectra_otel.service.collector import Collector

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
_log = logging.getLogger("spectra_otel.service")


@click.command()
@config_option
@set_option
def collect(locations: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Run the collector: OTLP in, through the pipelines of the configuration, until SIGTERM or SIGINT.

    Without --config, SPECTRA_CONFIG is used. What was accepted before the signal is finished before it ends. SIGHUP reads the
    configuration again.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's core writes lines of its own among ours; we log what fails
    insist()
    document, early = _first_document(locations, sets)
    _raise_limits()
    # Requests make no cyclic garbage that matters, and looking for it takes a third of the time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    _share_memory()
    # Threads that answer, and that merge, wait for one that computes: a fraction of what Python has, for a hundredth of its time.
    sys.setswitchinterval(0.0002)
    asyncio.run(_serve(document, lambda: _document(locations, sets), early))


class _Held(logging.Handler):
    """Keeps what is logged before the configuration says how logs are written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


def _first_document(locations: tuple[str, ...], sets: tuple[str, ...]) -> tuple[Document, list[logging.LogRecord]]:
    """The document, and what was logged as it was read; where it cannot be read that is said at once."""
    held, root = _Held(), logging.getLogger()
    root.addHandler(held)
    try:
        return _document(locations, sets), held.records
    except BaseException:
        for record in held.records:
            click.echo(record.getMessage(), err=True)
        raise
    finally:
        root.removeHandler(held)


def _document(locations: tuple[str, ...], sets: tuple[str, ...]) -> Document:
    from spectra_otel.config.document import read_document
    from spectra_otel.config.load import load
    from spectra_otel.config.resolve import resolve
    from spectra_otel.config.settings import read_settings

    settings = read_settings()
    if not locations:
        if not settings.config:
            raise click.UsageError("--config is needed: SPECTRA_CONFIG is not set")
        locations = (settings.config,)
    document, problems = read_document(resolve(locations, sets))
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)
    return load(document, settings)


async def _serve(document: Document, read_again: Callable[[], Document], early: list[logging.LogRecord]) -> None:
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, received.put_nowait, number)
    collector = await _started(document, early)
    while await received.get() is signal.SIGHUP:
        try:
            changed = read_again()
        except (ConfigError, click.exceptions.Exit) as error:
            reason = "" if isinstance(error, click.exceptions.Exit) else f": {error}"
            _log.error("The configuration cannot be used, going on with the former one%s", reason)
            continue
        _log.warning("Config updated, restart service")
        await collector.stop()
        gc.collect()  # asyncio forgets, without closing, a connection that it accepted just as its server closed
        try:
            collector = await _started(changed)
            document = changed
        except ConfigError as error:  # a port or a file that only those who start it look at
            _log.error("The configuration cannot be used, going on with the former one: %s", error)
            collector = await _started(document)
    _log.info("Received signal from OS. Starting shutdown...")
    await collector.stop()
    _log.info("Shutdown complete.")


async def _started(document: Document, early: Sequence[logging.LogRecord] = ()) -> Collector:
    from spectra_otel.service.collector import Collector

    _set_up_logs(document)
    for record in early:
        logging.getLogger(record.name).handle(record)
    collector = Collector(document)
    await collector.start()
    return collector


def _set_up_logs(document: Document) -> None:
    from spectra_otel.config.telemetry import Logs
    from spectra_otel.service import logs

    logs.set_up(document.telemetry.logs if document.telemetry is not None else Logs())


def _share_memory() -> None:
    """One arena of malloc for all threads: each of a dozen would keep some megabytes that it freed."""
    if "CS_GNU_LIBC_VERSION" in os.confstr_names:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _raise_limits() -> None:
    """As many connections as the system allows, as Go programs do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
