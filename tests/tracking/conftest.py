"""A host that keeps what it is given, and a local provider for calls inside tracked blocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spectra_otel import instrumentors
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.sdk import runtime
from spectra_otel.tracking import context
from tests.recording import Recorder


@pytest.fixture(scope="session")
def server() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def recorder(server: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", server.hosts)
    recorder = Recorder()
    monkeypatch.setattr(runtime, "current_host", lambda: recorder)
    recorder.install()
    yield recorder
    instrumentors.uninstall()
    context.clear_globals()
