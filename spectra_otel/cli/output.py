"""One renderer for every listing: a table for people, JSON and CSV for programs.

The JSON is one array of objects whose keys are column names. A DECIMAL is a number with all its digits, a TIMESTAMPTZ is
ISO-8601 in UTC with `Z`, a list an array, a MAP an object, a JSON column nested, bytes base64, NaN null.
"""

from __future__ import annotations

import base64
import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TextIO

import orjson

from spectra_otel.cli.tables import UNKNOWN, Column, print_fields, print_table

FORMATS = ("table", "json", "csv")
Row = Sequence[Any]

_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
HEADINGS = {
    "unpriced_requests": "unpriced", "partial_requests": "partial", "failed_requests": "failed", "prompt_tokens": "prompt",
    "completion_tokens": "completion", "cached_tokens": "cached", "reasoning_tokens": "reasoning",
    "total_cost_in_cents": "cost", "cost_status": "status", "latency_ms": "ms", "span_id": "id",
}  # fmt: skip
"""What tables of records and of costs call their columns."""

_NUMBERS = (int, float, Decimal)


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Row],
    format_: str,
    *,
    headings: Mapping[str, str] | None = None,
    spare: Sequence[str] = (),
    clip: int = 120,
) -> None:
    """Print rows to stdout in one of :data:`FORMATS`.

    ``headings`` are shorter names that a table shows instead of columns; a column of cents with one is shown in dollars.
    ``spare`` names the columns that a narrow terminal can do without, the first of them soonest. A longer text than ``clip``
    is cut in a table.
    """
    if format_ == "json":
        write_json(columns, rows, _utf8())
    elif format_ == "csv":
        write_csv(columns, rows, _utf8())
    else:
        _print_table(columns, list(rows), headings or {}, spare, clip)


def print_object(values: Mapping[str, Any], format_: str) -> None:
    """Print one object: in JSON an object, in CSV one row, in a table one line per known field."""
    if format_ == "json":
        _utf8().write(to_json(values) + "\n")
    elif format_ == "csv":
        write_csv(list(values), [list(values.values())], _utf8())
    else:
        print_fields([(name, _shown(value, limit=2_000)) for name, value in values.items() if value is not None])


def _utf8() -> TextIO:
    """Standard output for programs: UTF-8 whatever the locale is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    return sys.stdout


def write_json(columns: Sequence[str], rows: Iterable[Row], file: TextIO) -> None:
    """Write one JSON array, an object per line."""
    separator = "[\n"
    for row in rows:
        file.write(separator + to_json(dict(zip(columns, row, strict=True))))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(columns: Sequence[str], rows: Iterable[Row], file: TextIO) -> None:
    """Write CSV with a header; NULL is an empty cell, a nested value its JSON."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)


def to_json(value: Any) -> str:
    """JSON text of a value, by the conventions of this module."""
    try:
        return orjson.dumps(value, default=_json_default, option=_JSON_OPTIONS).decode()
    except (
        orjson.JSONEncodeError
    ):  # an integer beyond 64 bits (DuckDB sums are 128 bits wide), or half a surrogate pair
        return orjson.dumps(_tame(value), default=_json_default, option=_JSON_OPTIONS).decode()


def _json_default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f")) if value.is_finite() else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)


def _tame(value: Any) -> Any:
    """The same value without what orjson refuses."""
    if isinstance(value, Mapping):
        return {_tame(key) if isinstance(key, str) else key: _tame(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tame(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and value.bit_length() > 63:
        return orjson.Fragment(str(value))
    return value


def _cell(value: Any) -> Any:
    """A value as text for CSV."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, (list, tuple, Mapping)):
        return to_json(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return value


def _iso(value: datetime) -> str:
    aware = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.replace(tzinfo=None).isoformat() + "Z"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def dollars(cents: Decimal | None) -> str:
    """Cents as an amount people read: at least two decimals, and as many as a small amount needs for four digits."""
    if cents is None:
        return UNKNOWN
    amount = Decimal(cents) / 100
    decimals = 2
    if amount and abs(amount) < 10:
        decimals = min(10, max(2, 3 - amount.adjusted()))
    return f"${amount:,.{decimals}f}"


def printable(text: str) -> str:
    """Text that is safe to show: control characters, which could steer a terminal, are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shown(value: Any, limit: int) -> str:
    """A value as a cell of a table: one line, clipped."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return _iso(value).split(".")[0].replace("T", " ").removesuffix("Z")
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float):
        return f"{value:.6g}"
    text = printable(str(_cell(value)))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _print_table(
    columns: Sequence[str], rows: list[Row], headings: Mapping[str, str], spare: Sequence[str], clip: int
) -> None:
    shown = []
    for index, name in enumerate(columns):
        is_money = name in headings and name.endswith("_in_cents")
        show: Callable[[Any], str] = dollars if is_money else partial(_shown, limit=clip)
        shown.append(Column.of(headings.get(name, name), [row[index] for row in rows], show, _NUMBERS))
    print_table(shown, [headings.get(name, name) for name in spare])
