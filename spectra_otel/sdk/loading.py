"""Load the user's class from ``package.module:Class``, when it is first needed."""

from __future__ import annotations

import importlib
from typing import Generic, TypeVar, cast

from spectra_otel import faults
from spectra_otel.errors import ConfigError

T = TypeVar("T")


class Deferred(Generic[T]):
    """An instance of the user's class, made on first use.

    Not at start: a launcher starts Spectra before the interpreter has put the script's folder on the path, and importing the
    application then would run it before its time. A class that cannot be loaded is reported in one line, once.

    Args:
        path: ``package.module:Class``; the class must extend ``base`` and need no arguments.
        base: What the class must extend.
        setting: What messages call the setting.
    """

    def __init__(self, path: str, base: type, setting: str) -> None:
        self._path = path
        self._base = base
        self._setting = setting
        self._loaded: T | None = None
        self._is_tried = False

    def get(self) -> T | None:
        """The instance; None where there is none to be had."""
        if not self._is_tried:
            try:
                self._loaded = self.load()
            except ConfigError as error:
                faults.report("not used", str(error))
            self._is_tried = True
        return self._loaded

    def load(self) -> T:
        """Make an instance. Raises :class:`ConfigError` with one line that says which step failed."""
        module_name, _, class_name = self._path.partition(":")
        try:
            cls = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # the user's module runs its own code
            raise ConfigError(f"{self._setting}: cannot load '{self._path}' ({_reason(error)})") from error
        if not (isinstance(cls, type) and issubclass(cls, self._base)):
            valid = f"package.module:Class of a subclass of {self._base.__name__}"
            raise ConfigError(f"{self._setting}: got '{self._path}', valid: {valid}")
        try:
            return cast("T", cls())
        except Exception as error:
            raise ConfigError(f"{self._setting}: {class_name}() failed ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
