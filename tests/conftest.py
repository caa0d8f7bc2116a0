"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recording import Recorder, recording


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The instrumentors installed on a recorder; no fault of ours may have happened by the end."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    with recording() as recorder:
        yield recorder
