"""What listings look like to programs and to people."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from rich.cells import cell_len

from spectra_otel.cli import output, tables
from spectra_otel.cli.output import dollars, print_object, print_rows, printable, to_json, write_csv, write_json


def test_a_decimal_is_a_number_with_all_its_digits() -> None:
    """No float comes between the store and the reader."""
    assert to_json({"cost": Decimal("1234567890.12345678")}) == '{"cost":1234567890.12345678}'
    assert to_json(Decimal("1E+3")) == "1000"


def test_a_time_is_iso_8601_in_utc_with_z() -> None:
    """Whatever zone it came in."""
    berlin = datetime(2026, 7, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    assert to_json(berlin.astimezone(UTC)) == '"2026-07-01T12:30:00Z"'
    assert to_json(date(2026, 7, 1)) == '"2026-07-01"'


@pytest.mark.parametrize("number", [math.nan, math.inf, Decimal("NaN")])
def test_what_is_not_a_number_is_null(number: object) -> None:
    """JSON has no NaN."""
    assert to_json([number]) == "[null]"


def test_bytes_are_base64_and_nested_values_stay_nested() -> None:
    """A MAP is an object, a list an array, a JSON column not a string."""
    assert json.loads(to_json({"b": b"\x00\xff", "m": {"web_search": 2}, "l": ["a"], "j": {"a": {"b": [1]}}})) == {
        "b": "AP8=",
        "m": {"web_search": 2},
        "l": ["a"],
        "j": {"a": {"b": [1]}},
    }


def test_a_sum_beyond_64_bits_keeps_its_digits() -> None:
    """DuckDB sums BIGINT as HUGEINT."""
    assert to_json({"n": 2**100}) == f'{{"n":{2**100}}}'


def test_rows_are_one_json_array_of_objects() -> None:
    """No rows are an empty array."""
    out = io.StringIO()
    write_json(["a", "b"], [(1, None), (2, "x")], out)
    assert json.loads(out.getvalue()) == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    empty = io.StringIO()
    write_json(["a"], [], empty)
    assert json.loads(empty.getvalue()) == []


def test_csv_has_a_header_and_empty_cells_for_null() -> None:
    """Nested values are JSON, so that every cell can be read back."""
    out = io.StringIO()
    write_csv(["a", "b", "c", "d"], [(Decimal("0.10000000"), None, ["x,y"], True)], out)
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [
        ["a", "b", "c", "d"],
        ["0.10000000", "", '["x,y"]', "true"],
    ]


@pytest.mark.parametrize(
    ("cents", "text"),
    [
        (None, "–"),
        (Decimal(0), "$0.00"),
        (Decimal("0.00125"), "$0.00001250"),
        (Decimal("0.2515"), "$0.002515"),
        (Decimal("150"), "$1.500"),
        (Decimal("123456.789"), "$1,234.57"),
    ],
)
def test_amounts_in_tables_are_dollars_that_show_small_costs(cents: Decimal | None, text: str) -> None:
    """A cost of a thousandth of a cent is not shown as zero; an unknown one is not shown as a number."""
    assert dollars(cents) == text


def test_a_model_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences of a recorded value are shown, not sent; rich's own markup too."""
    assert printable("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    print_rows(["model"], [("gpt\x1b[2J[red]x",)], "table")
    shown = capsys.readouterr().out
    assert "\x1b[2J" not in shown
    assert "[red]x" in shown


def test_a_wide_row_is_shown_one_field_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Eighty columns side by side are for nobody; unknown fields are left out."""
    columns = [f"column_{i}" for i in range(80)]
    print_rows(columns, [[1, *[None] * 79]], "table")
    shown = capsys.readouterr().out
    assert "column_0" in shown
    assert "column_1" not in shown


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_numbers_are_whole_however_narrow_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns without anything known go first, then texts are folded, then a row is shown one field below the other."""
    monkeypatch.setattr(tables, "_terminal", lambda: width)
    columns = [
        "model",
        "requests",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "partial_requests",
    ]
    rows = [["a-model-with-a-long-name-2024", 120, 11_209_055, 7_654_321, None, None, 3]]
    output.print_rows(columns, rows, "table", headings=output.HEADINGS)
    printed = capsys.readouterr().out
    assert {"120", "11209055", "7654321", "3"} <= set(printed.split())
    assert max(map(len, printed.splitlines())) <= width
    assert ("reasoning" in printed) is (width >= 100)


def test_a_narrow_terminal_does_without_what_a_listing_can_spare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest stays a table with amounts in dollars, and a line names what is not in it."""
    monkeypatch.setattr(tables, "_terminal", lambda: 40)
    columns = ["model", "unpriced_requests", "prompt_tokens", "cached_tokens", "total_cost_in_cents"]
    rows = [["gpt-4o", 0, 11_209_055, 1_024_000, Decimal("0.02")]]
    print_rows(columns, rows, "table", headings=output.HEADINGS, spare=["cached_tokens", "prompt_tokens"])
    head, _, row, *rest = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "unpriced", "prompt", "cost"]
    assert row.split() == ["gpt-4o", "0", "11209055", "$0.0002000"]
    assert rest == ["too narrow for: cached"]


@pytest.mark.parametrize("width", [30, None])
def test_texts_of_wide_characters_stand_below_each_other(
    width: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Chinese character takes two places, also where a text is folded."""
    monkeypatch.setattr(tables, "_terminal", lambda: width)
    print_rows(["model", "count"], [("通义千问通义千问通义千问通义千问", 1), ("gpt-4o", 2)], "table")
    _, rule, *rows = capsys.readouterr().out.splitlines()
    assert all(cell_len(row) <= len(rule) for row in rows)
    assert [cell_len(row) for row in rows if row[-1] in "12"] == [len(rule), len(rule)]


def test_a_table_of_many_rows_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    """And no line of it ends with blanks."""
    print_rows(["number", "text"], [(number, "x" * (number % 7)) for number in range(50_000)], "table")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 50_002
    assert not [line for line in lines if line.endswith(" ")]


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe has no width."""
    print_rows(["a", "b"], [("x" * 110, "end")], "table")
    assert re.search(r"x{110} +end", capsys.readouterr().out)


@pytest.mark.parametrize("format_", ["json", "csv", "table"])
def test_one_object_prints_in_each_format(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`estimate` and `requests show` print one thing, not a list of one."""
    print_object({"cost_status": "priced", "total": None}, format_)
    assert "priced" in capsys.readouterr().out
