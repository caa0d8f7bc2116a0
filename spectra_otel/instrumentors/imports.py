"""Being told when a module has been imported, without importing it: what an app does not use costs it nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from spectra_otel import faults


def when_imported(names: Iterable[str], call: Callable[[], object]) -> None:
    """Have ``call`` run after the import of each of these modules; at once for those that are imported already.

    A later registration for a name takes the place of an earlier one. What ``call`` raises is reported.
    """
    for name in names:
        if name in sys.modules:
            _run(name, call)
        else:
            _finder.calls[name] = call
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)


def forget(names: Iterable[str]) -> None:
    """Take registrations back."""
    for name in names:
        _finder.calls.pop(name, None)


def _run(name: str, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        faults.report(f"instrumentor {name}", error)


class _Finder(MetaPathFinder):
    """Finds a module as the others do, and lends it a loader that tells when it is done."""

    def __init__(self) -> None:
        self.calls: dict[str, Callable[[], object]] = {}
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.calls or getattr(self._asking, "name", None) == fullname:
            return None
        self._asking.name = fullname
        try:
            spec = find_spec(fullname)
        finally:
            self._asking.name = None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """The module's own loader, but for the word afterwards."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        call = _finder.calls.pop(module.__name__, None)
        if call is not None:
            _run(module.__name__, call)


_finder = _Finder()
