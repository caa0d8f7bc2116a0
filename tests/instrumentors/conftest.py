"""One local provider for all tests of the folder, and a fresh recorder for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spectra_otel.demo.handler import Served
from spectra_otel.demo.provider import LocalProvider
from tests.recording import Recorder, recording


@pytest.fixture(scope="session")
def server() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def provider(server: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> LocalProvider:
    """The local provider, known to us as the three that it plays, with an empty ledger."""
    server.ledger.clear()
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", server.hosts)
    return server


@pytest.fixture
def recorder(provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The instrumentors installed on a recorder; no fault of ours may have happened by the end."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    with recording() as recorder:
        yield recorder


@pytest.fixture
def agree(recorder: Recorder, provider: LocalProvider):
    """Compare the one record with the one line of the ledger."""

    def check(**more: object) -> dict[str, object]:
        [line] = provider.ledger
        record = recorder.only
        assert_agrees(record, line)
        for name, value in more.items():
            assert record.get(name) == value, name
        return record

    return check


def assert_agrees(record: dict[str, object], line: Served) -> None:
    """The record says what the provider served."""
    for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"):
        assert (record.get(name) or 0) == line.usage.get(name, 0), name
    assert record["provider"] == line.provider
    assert record["model"] == line.model
    assert record["endpoint"] == line.endpoint
    assert record["status_code"] == line.status_code
    assert record["is_streaming"] == line.is_streaming
    assert (record.get("response_id") or "") == line.response_id
    if line.status_code == 200 and "embed" not in line.endpoint.lower():
        assert record["snapshot"] == line.snapshot
