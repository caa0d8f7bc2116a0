"""A process ends in many ways; the last call is stored in each of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.support import APPS, environment, stored


def end(ending: str, home: Path) -> tuple[int, int, str]:
    """Exit status, stored calls and stderr of the script."""
    done = subprocess.run(
        [sys.executable, str(APPS / "ending.py"), ending],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, len(stored(home)), done.stderr


@pytest.mark.parametrize(
    ("ending", "status", "calls"),
    [
        ("return", 0, 1),
        ("exit", 3, 1),
        ("raise", 1, 1),
        ("handler", 0, 1),
        ("sigterm", -signal.SIGTERM, 1),
        ("flushed", 0, 1),
        ("shutdown", 0, 1),
        ("late thread", 0, 1),
        ("threads", 0, 4),
        ("asyncio", 0, 4),
        ("forked", 0, 3),
        ("fork", 0, 1),
        ("spawn", 0, 1),
        ("forkserver", 0, 1),
        ("pool", 0, 4),
        ("executor", 0, 4),
    ],
)
def test_the_last_call_is_stored(ending: str, status: int, calls: int, tmp_path: Path) -> None:
    """Whichever way a process ends in order, its calls are stored once, and its exit status is its own."""
    got_status, got_calls, said = end(ending, tmp_path)
    assert (got_status, got_calls) == (status, calls), said
    assert "spectra" not in said.lower()


def test_forks_in_the_middle_of_everything(tmp_path: Path) -> None:
    """Children forked while other threads make calls neither hang nor lose nor repeat a call."""
    done = subprocess.run(
        [sys.executable, str(APPS / "forks.py"), "25"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    ended, made = map(int, done.stdout.split())
    assert ended == 25, done.stderr
    assert len(stored(tmp_path, "select id from spectra_requests")) == 25 + made
