"""A ledger of its own for each test, a local provider, and the pipeline of an app around it."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.budgets import alerts
from spectra_otel.budgets.book import book
from spectra_otel.budgets.ledger import Ledger, open_ledger
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.sdk import runtime

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def fresh_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    monkeypatch.delenv("SPECTRA_BUDGETS_URL", raising=False)
    book.reset()
    yield
    alerts.flush(5.0)
    alerts.use_webhooks([])
    book.reset()


@pytest.fixture(scope="session")
def server() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def app(server: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalProvider]:
    """An app with everything on, whose AI providers are local."""
    server.ledger.clear()
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", server.hosts)
    from opentelemetry.sdk.trace import TracerProvider

    runtime.configure(tracer_provider=TracerProvider(shutdown_on_exit=False))
    yield server
    runtime.shutdown()


def redis_program() -> str:
    """A real Redis: the one that `.ci/backends` put in place, or the system's."""
    program = ROOT / ".build" / "redis" / "redis-server"
    found = str(program) if program.exists() else shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server; run .ci/backends")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """One for all tests."""
    port = free_port()
    process = subprocess.Popen(
        [redis_program(), "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    wait_for_port(port)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    import redis

    client = redis.Redis.from_url(redis_server)
    client.flushdb()
    client.close()
    return redis_server


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.backend)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    if request.param == "redis":
        return open_ledger(str(request.getfixturevalue("redis_url")))
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def _hold_ledger(path: str, held: Any, let_go: Any) -> None:
    turn = os.open(f"{path}-turn", os.O_RDWR)
    fcntl.flock(turn, fcntl.LOCK_EX)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    held.set()
    let_go.wait(30)
    database.execute("ROLLBACK")
    database.close()


class Held:
    """Another process that can have the ledger for itself: its turn, and its database's lock."""

    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._held, self._let_go = context.Event(), context.Event()
        self._process = context.Process(target=_hold_ledger, args=(str(path), self._held, self._let_go))

    def hold(self) -> None:
        self._process.start()
        assert self._held.wait(30)

    def let_go(self) -> None:
        self._let_go.set()
        if self._process.pid is not None:
            self._process.join()


@pytest.fixture
def held_ledger(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path / "budgets.db")
    yield held
    held.let_go()
