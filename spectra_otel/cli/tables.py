"""Tables for people. In a terminal numbers stay whole and texts are folded; in a pipe a table is as wide as it takes."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

_MANY = 14  # more columns than this are shown one below the other, as psql's \x does
_SHORT_TEXT, _LEAST_TEXT = (
    32,
    12,
)  # characters of a text that stand in one line if they can; that are needed to know it again
_GAP = 2
UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is shown."""

    name: str
    cells: list[str]
    is_numeric: bool
    is_known: bool
    """Whether any row has a value."""
    longest: int

    @classmethod
    def of(cls, name: str, values: Sequence[Any], show: Callable[[Any], str], numbers: tuple[type, ...]) -> Column:
        """Of values, as ``show`` writes them."""
        cells = [show(value) for value in values]
        longest = max(map(_width_of, (name, *cells)))
        is_numeric = any(isinstance(value, numbers) for value in values)
        return cls(name, cells, is_numeric, any(value is not None for value in values), longest)

    def least(self, text: int) -> int:
        """The width it needs where a text needs ``text``: half a number would be another number."""
        return self.longest if self.is_numeric else min(self.longest, text)


def print_table(columns: Sequence[Column], spare: Collection[str] = ()) -> None:
    """Print columns side by side, or each row's fields one below the other where that is too wide.

    In a terminal that is too narrow columns in which nothing is known go first, then those named in ``spare``, in their order.
    """
    count = len(columns[0].cells) if columns else 0
    width = _terminal()
    fitting = _fitting(columns, width, spare) if len(columns) <= _MANY else None
    if fitting is None:
        for row in range(count):
            _write([click.style(f"─ record {row + 1}", dim=True)])
            print_fields([(column.name, column.cells[row]) for column in columns if column.cells[row] != UNKNOWN])
    else:
        shown, widths = fitting
        head = "".join(_lines(shown, [column.name for column in shown], widths))
        _write([click.style(head, bold=True), "─" * (sum(widths) + _GAP * (len(widths) - 1))])
        _write(line for row in range(count) for line in _lines(shown, [column.cells[row] for column in shown], widths))
        left_out = [column.name for column in columns if column.is_known and column not in shown]
        if left_out:
            _write([click.style(f"too narrow for: {', '.join(left_out)}", dim=True)])
    if not count:
        _write([click.style("no rows", dim=True)])


def print_fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print one object, a line for each field."""
    names = max((len(name) for name, _ in pairs), default=0)
    width = _terminal()
    for name, value in pairs:
        first, *rest = _folded(value, width and max(_LEAST_TEXT, width - names - _GAP))
        label = click.style(name.ljust(names) if first else name, bold=True)
        _write([f"{label}{' ' * _GAP}{first}" if first else label, *(" " * (names + _GAP) + line for line in rest)])


def _terminal() -> int | None:
    """The width of the terminal; None where there is none, and therefore no edge."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _fitting(
    columns: Sequence[Column], width: int | None, spare: Collection[str]
) -> tuple[Sequence[Column], list[int]] | None:
    """The columns to show, and how wide; None where not even folded texts make them fit."""
    choices = [columns]
    if width is not None:
        known = [column for column in columns if column.is_known] or columns
        leaving = [name for name in spare if any(column.name == name for column in known)]
        choices += [
            [column for column in known if column.name not in leaving[:gone]] for gone in range(len(leaving) + 1)
        ]
    for text in (_SHORT_TEXT, _LEAST_TEXT):
        for choice in choices:
            if (widths := _widths(choice, width, text)) is not None:
                return choice, widths
    return None


def _widths(columns: Sequence[Column], width: int | None, text: int) -> list[int] | None:
    """How wide each column is; the room there is goes to the shortest texts first."""
    if width is None:
        return [column.longest for column in columns]
    widths = [column.least(text) for column in columns]
    room = width - sum(widths) - _GAP * (len(columns) - 1)
    if room < 0:
        return None
    shortest_first = sorted(range(len(columns)), key=lambda index: columns[index].longest)
    for done, index in enumerate(shortest_first):
        more = min(columns[index].longest - widths[index], room // (len(columns) - done))
        widths[index] += more
        room -= more
    return widths


def _lines(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row: one, unless a text is folded."""
    parts = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, parts), default=0)):
        line = (
            _padded(part[number] if number < len(part) else "", width, column.is_numeric)
            for part, width, column in zip(parts, widths, columns, strict=True)
        )
        yield (" " * _GAP).join(line).rstrip()


def _folded(text: str, width: int | None) -> list[str]:
    if width is None or _width_of(text) <= width:
        return [text]
    if not text.isascii():
        from rich.cells import chop_cells

        return chop_cells(text, width)
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _padded(text: str, width: int, right: bool) -> str:
    blank = " " * (width - _width_of(text))
    return blank + text if right else text + blank


def _width_of(text: str) -> int:
    """Places that a text takes in a terminal, where a Chinese character takes two."""
    if text.isascii() or len(text) == 1:
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _write(lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.write(text if sys.stdout.isatty() else click.unstyle(text) if "\x1b" in text else text)
