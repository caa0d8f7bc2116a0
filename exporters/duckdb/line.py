"""A record as one line of JSON that the merge is sure to be able to read.

Every value is checked against the range of its column here, when it is appended, because one absurd value in a batch would
abort the merge of all its rows. What does not fit becomes NULL, the record says so, and the raw value is kept in
``usage_raw`` under :data:`OUT_OF_RANGE`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from spectra_otel.model.fields import BIG, BOOL, COUNTS, FIELDS, FLOAT, INT, JSON, MEDIA, MONEY, TEXT, TEXTS, TIME

OUT_OF_RANGE = "spectra.out_of_range"
"""Key in ``usage_raw``: field → the value that did not fit, as text."""

LARGEST_COUNT = 10**12
"""A count beyond this is absurd, and a sum of nine million of them still fits a BIGINT."""

LARGEST_MONEY = Decimal("9999999999.99999999")
"""What DECIMAL(18,8) holds: cents, a hundred million dollars."""

_STORED_BY_MERGE = frozenset({"current_cost_in_cents", "current_cost_status"})
_USAGE = frozenset(f.name for f in FIELDS.values() if f.group == "Usage")
_COST = tuple(f"{part}_cost_in_cents" for part in ("total", "prompt", "completion", "media", "tool"))
_PYTHON: dict[str, type] = {TEXT: str, INT: int, BIG: int, FLOAT: float, MONEY: Decimal, BOOL: bool, TIME: datetime}
_TYPE = {f.name: _PYTHON.get(f.type) for f in FIELDS.values() if f.name not in _STORED_BY_MERGE}
_UNBOUNDED = {name: type_ for name, type_ in _TYPE.items() if type_ in (str, bool, datetime)}
_LIMIT = {f.name: 2**31 - 1 if f.type == INT else LARGEST_COUNT for f in FIELDS.values() if f.type in (INT, BIG)}
_ANY_JSON = frozenset(f.name for f in FIELDS.values() if f.type == JSON)
_DEEPEST = 60
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE


class Misfit(ValueError):
    """A value that its column cannot hold."""


def encode(values: Mapping[str, Any], rev: int = 0) -> bytes:
    """The line of one record, newline included. Raises :class:`ValueError` only where there is no ``id`` or no ``started_at``.

    ``values`` are record fields; None and unknown names are left out. The usual record is written as it is; one with a value
    of another type or beyond its range takes a slower way that mends it.
    """
    line: dict[str, Any] = {"rev": rev}
    unbounded, limit = _UNBOUNDED.get, _LIMIT.get  # forty values of each of a million records pass here
    for name, value in values.items():
        if value is None:
            continue
        kind = type(value)
        if kind is unbounded(name) or (kind is int and 0 <= value <= limit(name, -1)):
            line[name] = value
        elif name in _TYPE:
            try:
                line[name] = _checked(name, value)
            except Misfit:
                return _mended(values, rev)
    if "id" not in line or "started_at" not in line:
        return _mended(values, rev)
    try:
        return orjson.dumps(line, None, _OPTIONS)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits, a key that is no string, too deep a nesting
        return _mended(values, rev)


def decode(line: bytes) -> tuple[dict[str, Any], int]:
    """Values and ``rev`` of a line that was found in a damaged segment. Raises :class:`ValueError`."""
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    rev = values.pop("rev", 0)
    return values, rev if isinstance(rev, int) and 0 <= rev < 2**31 else 0


def _checked(name: str, value: Any) -> Any:
    """The value as the line has it. Raises :class:`Misfit` where its column cannot hold it as it is."""
    kind: Any = type(value)  # Any: for the type checker an `is` below does not tell enough
    if kind is not _TYPE[name]:
        if _TYPE[name] is None and (name in _ANY_JSON or _nested_fits(name, value)):
            return value
    elif kind is Decimal:
        if value.is_finite() and -LARGEST_MONEY <= value <= LARGEST_MONEY:
            return _plain(value)
    elif kind is float and 0.0 <= value < 1e300:
        return value
    raise Misfit(value)


def _nested_fits(name: str, value: Any) -> bool:
    if name == "tags":
        return type(value) is list and all(type(tag) is str for tag in value)
    if name == "tool_call_counts":
        return type(value) is dict and all(type(n) is int and 0 <= n <= LARGEST_COUNT for n in value.values())
    return False


def _plain(amount: Decimal) -> str:
    """Money, without an exponent."""
    text = str(amount)  # twice as quick as the other
    return format(amount, "f") if "E" in text else text


def _mended(values: Mapping[str, Any], rev: int) -> bytes:
    line: dict[str, Any] = {}
    misfits: dict[str, str] = {}
    for name, value in values.items():
        if value is None or name not in _TYPE:
            continue
        try:
            line[name] = _converted(name, value)
        except (ValueError, TypeError, AttributeError, InvalidOperation, OverflowError):
            misfits[name] = _text(value)[:1000]
    line = {name: value for name, value in line.items() if value is not None}
    if not line.get("id"):
        raise ValueError("record without an id")
    if "started_at" not in line:
        line["started_at"] = line.get("completed_at")
    if line["started_at"] is None:
        raise ValueError(f"record {line['id']} without a start time")
    if misfits:
        _confess(line, misfits)
    return (
        json.dumps({"rev": rev, **line}, separators=(",", ":"), default=_json_default, allow_nan=False).encode() + b"\n"
    )


def _confess(line: dict[str, Any], misfits: dict[str, str]) -> None:
    """Keep the raw values, and claim no cost that rests on one of them."""
    raw = line.get("usage_raw")
    line["usage_raw"] = (
        {**raw, OUT_OF_RANGE: misfits} if isinstance(raw, dict) else {OUT_OF_RANGE: misfits, "usage": raw}
    )
    if any(name in _USAGE or name in _COST for name in misfits):
        for name in _COST:
            line.pop(name, None)
        line["cost_status"] = "unpriced"
        line.setdefault("error_type", "usage_inconsistent")


def _converted(name: str, value: Any) -> Any:
    type_ = FIELDS[name].type
    if type_ == TEXT:
        return _text(value)
    if type_ in (INT, BIG):
        return _integer(value, _LIMIT[name])
    if type_ == MONEY:
        return _money(value)
    return _CONVERTERS[type_](value)


def _text(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"{value:x}"
    return text.encode("utf-8", "replace").decode("utf-8")


def _integer(value: Any, limit: int) -> int:
    number = int(value)
    if number != (float(value) if isinstance(value, str) else value) or not 0 <= number <= limit:
        raise Misfit(value)
    return number


def _money(value: Any) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or abs(amount) > LARGEST_MONEY:
        raise Misfit(value)
    return amount


def _float(value: Any) -> float | None:
    number = float(value)
    if number != number:  # NaN means that it is not known
        return None
    if not 0.0 <= number < 1e300:
        raise Misfit(value)
    return number


def _bool(value: Any) -> bool:
    if value in (True, False, 0, 1):
        return bool(value)
    raise Misfit(value)


def _time(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [_text(value)]
    return [_text(item) for item in value if item is not None]


def _counts(value: Any) -> dict[str, int]:
    return {_text(key): _integer(count, LARGEST_COUNT) for key, count in dict(value).items() if count is not None}


def _media(value: Any) -> list[dict[str, Any]]:
    texts = ("uri", "mime_type", "sha256")
    return [
        {key: _text(item[key]) for key in texts if item.get(key) is not None}
        | ({"bytes": _integer(item["bytes"], 2**62)} if item.get("bytes") is not None else {})
        for item in value
    ]


def _json(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): _json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item, depth + 1) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _text(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return _text(value)


def _json_default(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _plain(value)
    raise TypeError(type(value).__name__)


_CONVERTERS = {FLOAT: _float, BOOL: _bool, TIME: _time, TEXTS: _texts, COUNTS: _counts, MEDIA: _media, JSON: _json}
