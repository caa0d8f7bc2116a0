"""Decode a tree onto a dataclass of defaults: no weak typing, unknown keys are errors, null means the default.

Paths in messages are those of the tree, joined with dots as the collector's decoder prints them:
``'protocols.http' has invalid keys: endpont``.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from spectra_otel.config.durations import Duration
from spectra_otel.config.resolve import Expanded
from spectra_otel.errors import ConfigError

T = TypeVar("T")
_logger = logging.getLogger(__name__)
decoding: ContextVar[str] = ContextVar("decoding", default="")
"""What warnings begin with, such as ``exporters::debug: ``."""
_NAMES = {
    str: "string",
    int: "int",
    bool: "bool",
    float: "float64",
    dict: "map",
    list: "slice",
    Duration: "time.Duration",
}


class Opaque:
    """A secret: prints as ``[REDACTED]`` in logs, errors and dumps; ``reveal`` gives the text to whoever sends it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """The secret itself."""
        return self._secret

    def __repr__(self) -> str:
        return "[REDACTED]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)


def decode(data: Any, default: T, path: str = "") -> T:
    """Decode ``data`` on top of the dataclass instance ``default``.

    A class may name settings of the collector that make no difference here, ``without_effect: ClassVar[frozenset[str]]``: they
    are taken with a warning, so that a file that works there works here. One that is a field as well is read all the same, for
    ``validate`` to refuse what the collector refuses.

    Args:
        data: A map, or None for "all defaults".
        default: The settings where ``data`` says nothing; not changed.
        path: Where ``data`` stands, for messages.

    Raises:
        ConfigError: One line with the path, what was got and what is expected.
    """
    data = _value(data)
    if data is None:
        return default
    if not isinstance(data, Mapping):
        raise ConfigError(f"'{path}' expected a map, got '{_type_name(data)}'")
    hints = _hints(cast("Hashable", type(default)))
    without_effect: frozenset[str] = getattr(type(default), "without_effect", frozenset())
    unknown = sorted(key for key in data if key not in hints and key not in without_effect)
    if unknown:
        raise ConfigError(f"'{path}' has invalid keys: {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for key, item in data.items():
        if key in without_effect:
            _logger.warning("%s'%s' has no effect here", decoding.get(), f"{path}.{key}" if path else key)
            if key not in hints:
                continue
        current = getattr(default, key)
        values[key] = _decode_field(item, hints[key], current, f"{path}.{key}" if path else key)
    return cast("T", replace(cast("Any", default), **values))


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _decode_field(item: Any, hint: Any, current: Any, path: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    hint = next(option for option in options if option is not type(None))
    if is_dataclass(hint):
        # An empty key switches an optional block on with its defaults; an absent one leaves it off.
        return decode(item, _new(hint) if current is None else current, path)
    if _value(item) is None:
        return current
    return _decode_value(item, hint, path)


def _decode_value(item: Any, hint: Any, path: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return plain(item)
    if origin is Literal:
        return _choice(_value(item), get_args(hint), path)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(_choice(_value(item), [member.value for member in hint], path))
    if origin is list:
        return _list(item, get_args(hint)[0], path)
    if origin is dict:
        if not isinstance(_value(item), Mapping):
            raise ConfigError(f"'{path}' expected a map, got '{_type_name(_value(item))}'")
        return {key: _element(value, get_args(hint)[1], f"{path}[{key}]") for key, value in _value(item).items()}
    return _scalar(item, hint, path)


def _new(cls: Any) -> Any:
    """The defaults of an optional block."""
    return cls()


def _list(item: Any, element: Any, path: str) -> list[Any]:
    value = item.text if isinstance(item, Expanded) and not isinstance(item.value, list) else _value(item)
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
    if not isinstance(value, list):
        raise ConfigError(f"'{path}' expected a list, got '{_type_name(value)}'")
    return [_element(part, element, f"{path}[{index}]") for index, part in enumerate(value)]


def _element(item: Any, hint: Any, path: str) -> Any:
    """An element has no default that null could mean: it must be of its type."""
    return decode(item, _new(hint), path) if is_dataclass(hint) else _decode_value(item, hint, path)


def _scalar(item: Any, hint: Any, path: str) -> Any:
    if hint in (str, Opaque, Duration):
        text = item.text if isinstance(item, Expanded) else item
        if isinstance(text, str):
            return _duration(text, path) if hint is Duration else hint(text)
        if hint is Duration and isinstance(text, int | float) and not isinstance(text, bool):
            return _duration(str(text), path)  # refused in Go's words: it has no unit
        if hint is Opaque:
            raise _wrong_type(path, "string", Opaque(str(text)), _type_name(_value(item)))
        raise _wrong_type(path, _NAMES[hint], _value(item))
    value = _value(item)
    is_whole = hint is int and type(value) is float and value.is_integer()  # 1e3, as in the collector
    right = type(value) is hint or (hint is float and type(value) is int) or is_whole
    if not right:
        raise _wrong_type(path, _NAMES[hint], value)
    return hint(value)


def _duration(text: str, path: str) -> Duration:
    try:
        return Duration.parse(text)
    except ConfigError as error:
        raise ConfigError(f"'{path}' {error}, valid: a duration such as 200ms, 30s or 1m30s") from None


def _choice(value: Any, valid: Any, path: str) -> Any:
    if value not in valid:
        raise ConfigError(f"'{path}' got '{value}', valid: {', '.join(str(item) for item in valid if item)}")
    return value


def _wrong_type(path: str, expected: str, value: Any, got: str = "") -> ConfigError:
    got = got or _type_name(value)
    return ConfigError(f"'{path}' expected type '{expected}', got unconvertible type '{got}', value: '{value}'")


def _type_name(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _value(item: Any) -> Any:
    return item.value if isinstance(item, Expanded) else item


def plain(item: Any) -> Any:
    """``item`` without :class:`Expanded`: values as YAML typed them."""
    if isinstance(item, Expanded):
        return plain(item.value)
    if isinstance(item, Mapping):
        return {key: plain(value) for key, value in item.items()}
    return [plain(value) for value in item] if isinstance(item, list) else item
