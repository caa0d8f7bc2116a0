"""Attribute values to field values. Each function gives None for what is of no use; none raises."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

from spectra_otel.model.fields import BOOL, FIELDS, FLOAT, INTEGER_FIELDS, TEXTS

Convert: TypeAlias = Callable[[Any], Any]

MAX_TEXT = 1024
MAX_JSON = 2_000_000
MAX_COUNT = 10**12
"""More tokens, characters or milliseconds than that in one call is not a measurement."""


class Absurd(ValueError):
    """A count that cannot be: negative, not a whole number, or beyond `MAX_COUNT`."""


def text(value: Any) -> str | None:
    """Text, clipped to `MAX_TEXT` characters; numbers in their decimal form."""
    if type(value) is str:
        return value[:MAX_TEXT] or None
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def count(value: Any) -> int | None:
    """A count, also from text or a whole float. Raises :class:`Absurd` for a number that no count can be."""
    if type(value) is not int:
        if value is None or isinstance(value, (bool, list, tuple, dict)) or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        if number != number:  # what was not counted is NaN in JavaScript
            return None
        if number % 1 or abs(number) > MAX_COUNT:
            raise Absurd(str(value)[:40])
        value = int(number)
    if 0 <= value <= MAX_COUNT:
        return int(value)
    raise Absurd(str(value)[:40])


def number(value: Any) -> float | None:
    """A finite number that is not negative."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if 0 <= found < MAX_COUNT and not isinstance(value, bool) else None


def flag(value: Any) -> bool | None:
    """A truth value, also as the text of JSON or Python."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def texts(value: Any) -> list[str] | None:
    """A list of texts, also as JSON."""
    items = parsed(value)
    return [str(item) for item in items] or None if isinstance(items, (list, tuple)) else None


def first(value: Any) -> str | None:
    """The first text of a list, also of a list written as JSON."""
    if isinstance(value, (list, tuple)):
        return text(value[0]) if value else None
    if isinstance(value, str) and value[:1] == "[":
        items = parsed(value)
        return text(items[0]) if isinstance(items, list) and items else None
    return text(value)


def seconds(value: Any) -> int | None:
    """Seconds to whole milliseconds."""
    found = number(value)
    return None if found is None else round(found * 1000)


def milliseconds(value: Any) -> int | None:
    """Milliseconds to whole milliseconds."""
    found = number(value)
    return None if found is None else round(found)


def present(value: Any) -> bool | None:
    """True where the attribute is there at all."""
    return None if value is None else True


def enum_name(value: Any) -> str | None:
    """`FinishReason.STOP` → `STOP`."""
    found = first(value)
    return found.rpartition(".")[2] if found else None


def json_text(value: Any) -> str | None:
    """A text that was written as JSON: `"openai"` with its quotes."""
    if isinstance(value, str) and value[:1] == '"':
        return text(parsed(value))
    return text(value)


def host(value: Any) -> str | None:
    """The host of a URL or of `host:port`, in lower case."""
    if not isinstance(value, str):
        return None
    rest = value.partition("://")[2] or value
    rest = rest.partition("/")[0].rpartition("@")[2]
    return rest.partition(":")[0].lower() or None


def port(value: Any) -> int | None:
    """The port in a URL or in `host:port`, where it is written."""
    if not isinstance(value, str):
        return None
    rest = (value.partition("://")[2] or value).partition("/")[0]
    digits = rest.rpartition(":")[2] if ":" in rest else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else None


def path(value: Any) -> str | None:
    """The path of a URL, without query and fragment."""
    if not isinstance(value, str):
        return None
    rest = value.partition("://")[2]
    found = ("/" + rest.partition("/")[2]) if rest else value
    return text(found.partition("?")[0].partition("#")[0])


def parsed(value: Any) -> Any:
    """What JSON text holds; the value itself if it is a list or mapping already (a `dict`); None if it is neither."""
    if not isinstance(value, str):
        return dict(value) if isinstance(value, Mapping) else value
    if len(value) > MAX_JSON:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def python_literal(value: Any) -> Any:
    """What the `repr` of a Python mapping holds, as some libraries write it; None if it is not one."""
    if not isinstance(value, str) or len(value) > MAX_JSON or value[:1] not in "{[":
        return None
    try:
        return orjson.loads(
            value.replace("'", '"').replace("None", "null").replace("False", "false").replace("True", "true")
        )
    except orjson.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def for_field(field: str) -> Convert:
    """The conversion that suits a record field, where a table names none."""
    if field in INTEGER_FIELDS:
        return count
    kind = FIELDS[field].type if field in FIELDS else ""
    if kind == BOOL:
        return flag
    if kind == FLOAT:
        return number
    return texts if kind == TEXTS else text
