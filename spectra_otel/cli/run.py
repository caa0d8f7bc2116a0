"""`spectra run`: launch a program with everything on, pass its signals and exit status, end with one line."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from types import FrameType

import click

from spectra_otel.model import home
from spectra_otel.sdk import run_ledger

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells have it
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, *_FROM_TERMINAL)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Run an app with everything on.

    Every Python process of COMMAND records what its AI calls cost; nothing in the app changes. It is the same launch as
    `opentelemetry-instrument` with the `spectra` distro. Ends with one line on stderr: calls, cost, and where the database is.

    \b
    spectra run -- python app.py
    spectra run -- gunicorn app:app
    """
    executable = shutil.which(command[0])
    if executable is None:
        exists = Path(command[0]).exists()
        click.echo(f"spectra run: {command[0]}: {'not executable' if exists else 'command not found'}", err=True)
        sys.exit(_NOT_EXECUTABLE if exists else _NOT_FOUND)
    with _ledger() as ledger:
        status = _launch(executable, command, {**launch_environment(os.environ), run_ledger.VARIABLE: str(ledger)})
        click.echo(_summary(ledger), err=True)
    _end_like(status)


def launch_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment under which a Python process starts Spectra by itself, as ``opentelemetry-instrument`` makes it."""
    from opentelemetry.instrumentation import auto_instrumentation

    from spectra_otel.sdk import launch

    hook, other = (str(Path(str(module.__file__)).parent) for module in (launch, auto_instrumentation))
    paths = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", hook, other)]
    here = os.getcwd()
    if here not in paths:  # as OpenTelemetry's launcher does, for programs with an executable of their own
        paths.insert(0, here)
    return {
        "OTEL_PYTHON_DISTRO": "spectra",
        "OTEL_PYTHON_CONFIGURATOR": "spectra",
        **environ,
        "PYTHONPATH": os.pathsep.join([hook, *paths]),
    }


@contextmanager
def _ledger() -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(prefix="spectra-run-")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        with suppress(OSError):
            os.unlink(name)


def _launch(executable: str, command: tuple[str, ...], environ: dict[str, str]) -> int:
    """Run the command and wait for it. Returns its exit status, or minus the signal that ended it.

    Signals sent to us go on to it. What a terminal sends (Ctrl-C) it gets from there, as a member of our process group.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if number in _FROM_TERMINAL and _in_foreground():
            return
        if child is None:
            early.append(number)
        elif child.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        child = subprocess.Popen(command, executable=executable, env=environ)
        for number in early:
            forward(number, None)
        return child.wait()
    except OSError as error:
        click.echo(f"spectra run: {command[0]}: {error.strerror}", err=True)
        return _NOT_EXECUTABLE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """We are the foreground process group of a terminal, whose signals reach the child too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _summary(ledger: Path) -> str:
    """The line that ends a run."""
    totals = run_ledger.totals(ledger)
    if not totals.processes:
        return f"spectra: nothing was recorded: {_why_nothing(totals)}"
    logging.getLogger(
        home.__name__
    ).disabled = True  # where records went instead was said by the process that put them there
    calls = f"{totals.calls} call{'' if totals.calls == 1 else 's'}"
    stores = [str(home.database_path())] if totals.stores is None else totals.stores
    where = ", ".join(stores) or "not stored: no pipeline has an exporter that keeps records, such as duckdb"
    return f"spectra: {calls}, {_dollars(totals.cents)}, {totals.unpriced} unpriced · {where}"


def _why_nothing(totals: run_ledger.RunTotals) -> str:
    if totals.failed:
        return "Spectra did not start; the line above says why"
    if totals.off:
        return "SPECTRA_ENABLED=false or OTEL_SDK_DISABLED=true is set"
    return "no Python process of this command has spectra-otel in its environment"


def _dollars(cents: Decimal) -> str:
    """Cents as dollars: two digits from a dollar on, as many as there are (up to ten) below."""
    dollars = cents / 100
    if dollars >= 1 or not dollars:
        return f"${dollars:,.2f}"
    return f"${dollars:.10f}".rstrip("0")


def _end_like(status: int) -> None:
    """End as the child ended: by the same signal, else with the same status."""
    if status >= 0:
        sys.exit(status)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump, the child's, is enough
    if -status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-status, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    os.kill(os.getpid(), -status)
    sys.exit(128 - status)  # the first process of a container does not die of its own signals
