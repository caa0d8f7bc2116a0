"""Load the user's class from ``package.module:Class``."""

from __future__ import annotations

import importlib
from typing import Any

from spectra_otel.errors import ConfigError


def load_instance(path: str, base: type[Any], setting: str) -> Any:
    """Import the class that ``path`` names and make one, without arguments.

    Args:
        path: ``package.module:Class``.
        base: What the class must extend.
        setting: What messages call the setting.

    Raises:
        ConfigError: One line that says which step failed.
    """
    module_name, _, class_name = path.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the user's module runs its own code
        raise ConfigError(f"{setting}: cannot load '{path}' ({type(error).__name__}: {error})") from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ConfigError(f"{setting}: got '{path}', valid: package.module:Class of a subclass of {base.__name__}")
    try:
        return cls()
    except Exception as error:
        raise ConfigError(f"{setting}: {class_name}() failed ({type(error).__name__}: {error})") from error
