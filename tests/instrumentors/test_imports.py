from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

from spectra_otel.instrumentors import imports

NAME = "spectra_probe_module"


@pytest.fixture(autouse=True)
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can be imported once per test."""
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    imports.forget([NAME])


def test_the_call_follows_the_import() -> None:
    """Registering imports nothing; the call comes once, when the module is whole and bears its own loader."""
    seen: list[int] = []
    imports.when_imported([NAME], lambda: seen.append(sys.modules[NAME].value))
    assert NAME not in sys.modules
    assert importlib.util.find_spec(NAME) is not None  # looking for a module is not importing it
    assert seen == []
    module = importlib.import_module(NAME)
    assert seen == [1]
    assert type(module.__spec__.loader).__name__ == "SourceFileLoader"  # type: ignore[union-attr]
    importlib.reload(module)
    assert seen == [1]


def test_a_module_that_is_there_is_told_at_once() -> None:
    """For a module that is imported already the call is made at once."""
    importlib.import_module(NAME)
    seen: list[int] = []
    imports.when_imported([NAME], lambda: seen.append(1))
    assert seen == [1]


def test_forgotten_and_absent_modules_and_calls_that_raise() -> None:
    """A registration that was taken back is silent, an absent module is absent, and a call that raises breaks no import."""
    seen: list[int] = []
    imports.when_imported([NAME, "no_such_module_at_all"], lambda: seen.append(1))
    imports.forget([NAME])
    importlib.import_module(NAME)
    assert seen == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_at_all")
    imports.forget(["no_such_module_at_all"])
    del sys.modules[NAME]
    imports.when_imported([NAME], lambda: seen.append(1 // 0))
    assert importlib.import_module(NAME).value == 1
