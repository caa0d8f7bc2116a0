"""Web servers fork, spawn, reload and are stopped by a signal; every request's call is stored once."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sdk.support import APPS, BIN, SPECTRA, environment, stored


@contextmanager
def serving(home: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A server under `spectra run`, in the folder with `web.py`; ended by SIGTERM to the launcher."""
    shutil.copy(APPS / "web.py", home)
    server = subprocess.Popen(
        [*SPECTRA, "run", "--", *command],
        env=environment(home / "spectra"),
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield server
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)


def stopped(server: subprocess.Popen[str]) -> str:
    """Stop the server as an orchestrator does; its stderr."""
    server.send_signal(signal.SIGTERM)
    return server.communicate(timeout=30)[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, seconds: float = 20.0) -> str:
    """The answer of the app, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                text: str = response.read().decode()
                return text
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["workers load", "preload"])
def test_gunicorn_prefork(preload: list[str], tmp_path: Path) -> None:
    """Every call of every gunicorn worker is stored, whether the app was loaded before the fork or after."""
    port = free_port()
    command = [str(BIN / "gunicorn"), "-w", "2", "-b", f"127.0.0.1:{port}", *preload, "web:wsgi"]
    with serving(tmp_path, *command) as server:
        for _ in range(8):
            get(port)
        said = stopped(server)
    assert len(stored(tmp_path / "spectra")) == 8
    assert said.strip().splitlines()[-1].startswith("spectra: 8 calls, $"), said


def test_uvicorn_with_reload(tmp_path: Path) -> None:
    """Calls before and after a reload are stored, the one right before the end too."""
    port = free_port()
    command = [str(BIN / "uvicorn"), "web:asgi", "--reload", "--port", str(port), "--log-level", "warning"]
    with serving(tmp_path, *command) as server:
        first = get(port)
        (tmp_path / "web.py").touch()
        deadline = time.monotonic() + 20
        calls = 1
        while (now := get(port)) == first and time.monotonic() < deadline:
            calls += 1
            time.sleep(0.1)
        calls += 1
        assert now != first
        said = stopped(server)
    assert len(stored(tmp_path / "spectra")) == calls, said
    assert said.strip().splitlines()[-1].startswith(f"spectra: {calls} calls, $"), said
