"""``spectra run``: it must behave as if it were not there, but for its last line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from decimal import Decimal
from pathlib import Path

import pytest
from opentelemetry.instrumentation import auto_instrumentation

from spectra_otel.cli.run import launch_environment
from spectra_otel.model.record import TrackedRequest
from spectra_otel.sdk import run_ledger

SPECTRA = [sys.executable, "-c", "from spectra_otel.cli import main; main()", "run", "--"]


def spectra_run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SPECTRA, *command], env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def off(tmp_path: Path) -> dict[str, str]:
    """Spectra off in the child: these tests are about the launcher."""
    return {"SPECTRA_HOME": str(tmp_path), "SPECTRA_ENABLED": "false"}


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_passes(status: int, off: dict[str, str]) -> None:
    """The command's exit status is ours, and its output is untouched."""
    done = spectra_run(sys.executable, "-c", f"print('hello'); raise SystemExit({status})", **off)
    assert done.returncode == status
    assert done.stdout == "hello\n"


def test_options_of_the_command_are_its_own(off: dict[str, str]) -> None:
    """Options after the command are not read by us, whether `--` is there or not."""
    done = spectra_run(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--help", "-x", "--", "y", **off)
    assert done.stdout == "['--help', '-x', '--', 'y']\n"


def test_a_command_that_is_not_there(off: dict[str, str], tmp_path: Path) -> None:
    """An unknown command is one line and 127, one that cannot be executed 126, as in a shell."""
    done = spectra_run("no-such-program-at-all", **off)
    assert (done.returncode, done.stderr) == (127, "spectra run: no-such-program-at-all: command not found\n")
    plain = tmp_path / "plain.txt"
    plain.write_text("x")
    done = spectra_run(str(plain), **off)
    assert (done.returncode, done.stderr) == (126, f"spectra run: {plain}: not executable\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_signals_pass_to_the_command(number: signal.Signals, off: dict[str, str]) -> None:
    """A signal sent to us reaches the command, which may handle it; we end with its status."""
    code = (
        "import signal, time, sys\n"
        f"signal.signal({int(number)}, lambda *a: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)"
    )
    child = _start(code, off)
    child.send_signal(number)
    assert child.wait(20) == 42
    assert child.stdout is not None
    child.stdout.close()


def test_death_by_signal_is_death_by_signal(off: dict[str, str]) -> None:
    """A command that a signal ends makes us end by the same signal."""
    child = _start("import time\nprint('ready', flush=True)\ntime.sleep(30)", off)
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == -signal.SIGTERM
    assert child.stdout is not None
    child.stdout.close()


def test_a_run_that_recorded_nothing_says_why(off: dict[str, str], tmp_path: Path) -> None:
    """Instead of a total of nothing the last line says what is the matter; the app's output and status are its own."""
    on = {"SPECTRA_HOME": str(tmp_path)}
    app = (sys.executable, "-c", "print('mine')")
    assert spectra_run("true", **on).stderr == (
        "spectra: nothing was recorded: no Python process of this command has spectra-otel in its environment\n"
    )
    done = spectra_run(*app, **off)
    assert (done.stdout, done.returncode) == ("mine\n", 0)
    assert done.stderr == "spectra: nothing was recorded: SPECTRA_ENABLED=false or OTEL_SDK_DISABLED=true is set\n"
    done = spectra_run(*app, **on, SPECTRA_PERSISTENCE="sometimes")
    assert (done.stdout, done.returncode) == ("mine\n", 0)
    why, last = done.stderr.splitlines()
    assert "SPECTRA_PERSISTENCE: got 'sometimes', valid: " in why
    assert last == "spectra: nothing was recorded: Spectra did not start; the line above says why"


def test_the_python_of_another_environment_is_left_alone(tmp_path: Path) -> None:
    """A command that starts a Python without our packages runs as ever, and nothing complains before the last line."""
    other = tmp_path / "other"
    venv.create(other, with_pip=False, symlinks=True)
    done = spectra_run(str(other / "bin" / "python"), "-c", "print('mine')", SPECTRA_HOME=str(tmp_path))
    assert done.stdout == "mine\n"
    assert done.stderr.startswith("spectra: nothing was recorded: no Python process")
    assert done.stderr.count("\n") == 1


def test_a_sitecustomize_of_the_environment_is_run(off: dict[str, str], tmp_path: Path) -> None:
    """Ours does not take its place; its errors are told as Python tells them, and we start all the same."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.theirs = 1; raise ValueError('theirs')")
    code = "import sys, spectra_otel.sdk.runtime as r; print(sys.theirs, r.current_host() is not None)"
    done = spectra_run(sys.executable, "-c", code, SPECTRA_HOME=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.stdout == "1 True\n"
    assert "ValueError: theirs" in done.stderr


def test_a_run_within_a_launch_of_opentelemetry_starts_once() -> None:
    """Whoever comes last on the path of the processes is the only one there."""
    hook = str(Path(str(auto_instrumentation.__file__)).parent)
    paths = launch_environment({"PYTHONPATH": os.pathsep.join([hook, "/mine"])})["PYTHONPATH"].split(os.pathsep)
    assert hook not in paths
    assert paths == launch_environment({"PYTHONPATH": os.pathsep.join(paths)})["PYTHONPATH"].split(os.pathsep)
    assert "/mine" in paths


def test_programs_that_the_command_starts_are_met_too(tmp_path: Path) -> None:
    """A script that starts Python twice: both attach."""
    ask = "import spectra_otel.sdk.runtime as r; print(r.current_host() is not None)"
    done = spectra_run("sh", "-c", f'for _ in 1 2; do {sys.executable} -c "{ask}"; done', SPECTRA_HOME=str(tmp_path))
    assert done.stdout == "True\nTrue\n"
    assert done.stderr.startswith("spectra: 0 calls, $0.00, 0 unpriced")


def test_where_files_went_instead_is_said_once(tmp_path: Path) -> None:
    """By the process that needed the place; the launcher only names it."""
    code = "from spectra_otel.model.home import home; home()"
    done = spectra_run(sys.executable, "-c", code, SPECTRA_HOME="/dev/null/x", TMPDIR=str(tmp_path))
    warning, last = done.stderr.splitlines()
    assert warning.startswith("SPECTRA_HOME: /dev/null/x cannot be used")
    assert last.endswith(f"{tmp_path}/spectra-{os.getuid()}/spectra.duckdb")


def test_the_ledger_counts_each_record_once_at_its_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Totals take the highest revision of each record, and count what has no price apart."""
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setenv(run_ledger.VARIABLE, str(path))
    run_ledger.say("hello")
    run_ledger.add([_record("a", "1.5"), _record("b", None), _record("c", None)])
    run_ledger.add([_record("b", "0.25", rev=1), _record("a", "1.5")])
    run_ledger.say("hello")
    assert run_ledger.totals(path) == run_ledger.RunTotals(calls=3, cents=Decimal("1.75"), unpriced=1, processes=2)


def test_no_ledger_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is gone, as after the launcher's end, is a fault and not an error."""
    monkeypatch.setenv(run_ledger.VARIABLE, str(tmp_path / "gone"))
    run_ledger.add([_record("a", "1.5")])


def _record(id_: str, cents: str | None, rev: int = 0) -> TrackedRequest:
    values = {"id": id_, "total_cost_in_cents": None if cents is None else Decimal(cents)}
    return TrackedRequest({**values, "cost_status": "unpriced" if cents is None else "priced"}, rev=rev)


def _start(code: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start a program under `spectra run`, in a session of its own, and wait for its `ready`."""
    child = subprocess.Popen(
        [*SPECTRA, sys.executable, "-c", code],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child
