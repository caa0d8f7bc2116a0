"""A pytest plugin: ``pytest_plugins = ["spectra_otel.pytest_plugin"]`` in a ``conftest.py`` gives the fixture ``spectra``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spectra_otel.testing import Fake


@pytest.fixture
def spectra() -> Iterator[Fake]:
    """Spectra, running, with what it tracks in memory; see :class:`spectra_otel.testing.Fake`."""
    from spectra_otel.testing import fake

    with fake() as tracked:
        yield tracked
