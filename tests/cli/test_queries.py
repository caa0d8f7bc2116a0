"""`costs`, `requests` and `query`, on real records."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from spectra_otel.model.fields import FIELDS
from tests.cli.support import NOW, Record, Spectra, records, rows_of, store_at, total


def test_costs_by_model_add_up_to_what_was_recorded(spectra: Spectra, recorded: list[Record]) -> None:
    """To the last digit, with the calls that have no price counted beside."""
    rows = rows_of(spectra("costs", "--format", "json"))
    assert sum(Decimal(row["total_cost_in_cents"] or 0) for row in rows) == total(recorded)
    by_model = Counter(row["model"] for row in recorded)
    assert {row["model"]: row["requests"] for row in rows} == by_model
    unpriced = {row["model"]: row["unpriced_requests"] for row in rows}
    assert unpriced["gpt-4ox"] == sum(1 for row in recorded if row["cost_status"] == "unpriced")
    nothing_known = next(row for row in rows if row["model"] == "gpt-4ox")
    assert nothing_known["total_cost_in_cents"] in (None, 0)  # 0 comes from the refused call among them


@pytest.mark.parametrize(
    ("by", "column"),
    [
        ("provider", "provider"), ("model_type", "model_type"), ("user", "user_id"), ("service", "service_name"),
        ("conversation", "conversation_id"), ("account", "provider_account"), ("environment", "environment"),
    ],
)  # fmt: skip
def test_costs_by_any_key_have_the_key_under_its_own_name(
    spectra: Spectra, recorded: list[Record], by: str, column: str
) -> None:
    """Scripts read the group by the name they asked for."""
    rows = rows_of(spectra("costs", "--by", by, "--format", "json"))
    assert {row[by]: row["requests"] for row in rows} == Counter(row[column] for row in recorded)
    assert list(rows[0]) == [
        by, "requests", "unpriced_requests", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens",
        "total_cost_in_cents", "partial_requests", "failed_requests",
    ]  # fmt: skip


def test_costs_by_tag_count_a_call_under_each_of_its_tags(spectra: Spectra, recorded: list[Record]) -> None:
    """So every call is under `prod`."""
    rows = rows_of(spectra("costs", "--by", "tag", "--format", "json"))
    assert {row["tag"]: row["requests"] for row in rows} == {"prod": 60, "team-0": 30, "team-1": 30}


def test_costs_by_nested_metadata(spectra: Spectra, recorded: list[Record]) -> None:
    """A path reaches into the metadata."""
    rows = rows_of(spectra("costs", "--by", "metadata.tenant.id", "--format", "json"))
    assert {row["metadata.tenant.id"]: row["requests"] for row in rows} == {"0": 30, "1": 30}


def test_costs_by_day_since_a_day(spectra: Spectra, recorded: list[Record]) -> None:
    """`--since` takes a date, meaning 00:00 UTC of it."""
    since = (NOW - timedelta(days=5)).date()
    rows = rows_of(spectra("costs", "--by", "day", "--since", since.isoformat(), "--format", "json"))
    expected = Counter(row["started_at"].date().isoformat() for row in recorded if row["started_at"].date() >= since)
    assert {row["day"]: row["requests"] for row in rows} == expected


def test_costs_can_be_narrowed(spectra: Spectra, recorded: list[Record]) -> None:
    """The filters of `requests` work here too."""
    rows = rows_of(spectra("costs", "--user", "user-1", "--provider", "openai", "--format", "json"))
    chosen = [row for row in recorded if row["user_id"] == "user-1" and row["provider"] == "openai"]
    assert sum(row["requests"] for row in rows) == len(chosen)


def test_an_unknown_group_is_a_usage_error_that_lists_the_valid_ones(spectra: Spectra) -> None:
    """Exit status 2, one line."""
    result = spectra("costs", "--by", "colour")
    assert result.exit_code == 2
    assert "valid: model, provider" in result.stderr


@pytest.mark.parametrize("since", ["yesterday", "7y", "2026-13-01", ""])
def test_a_time_that_is_none_is_a_usage_error(spectra: Spectra, since: str) -> None:
    """The message shows what would be valid."""
    result = spectra("costs", "--since", since)
    assert result.exit_code == 2
    assert "valid: 30m, 24h, 7d" in result.stderr


def test_requests_have_every_column_in_json(spectra: Spectra, recorded: list[Record]) -> None:
    """Under the names of the vocabulary, in its order, newest first."""
    rows = rows_of(spectra("requests", "--format", "json"))
    assert list(rows[0]) == list(FIELDS)
    assert [row["id"] for row in rows] == [row["id"] for row in recorded]
    first, truth = rows[0], recorded[0]
    assert first["started_at"] == truth["started_at"].replace(tzinfo=None).isoformat() + "Z"
    assert first["total_cost_in_cents"] == truth["total_cost_in_cents"]
    assert (first["tags"], first["metadata"]) == (truth["tags"], truth["metadata"])
    assert first["error_type"] is None


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--failed"], 2), (["--model", "o3"], 9), (["--tag", "team-1"], 30), (["--metadata", "feature=search"], 60),
        (["--metadata", "tenant.id=1"], 30), (["--trace-id", f"{5:032x}"], 1), (["--limit", "7"], 7), (["--user", "nobody"], 0),
        (["--status", "unpriced"], 8), (["--since", "7h"], 1), (["--conversation", "conversation-3"], 15),
    ],
)  # fmt: skip
def test_requests_can_be_narrowed(spectra: Spectra, recorded: list[Record], options: list[str], number: int) -> None:
    """Each filter is an option; together they narrow further."""
    assert len(rows_of(spectra("requests", *options, "--format", "json"))) == number


def test_requests_as_a_table_show_cost_in_dollars(spectra: Spectra, recorded: list[Record]) -> None:
    """And unknown cost as unknown."""
    shown = spectra("requests", "--model", "gpt-4ox").stdout
    assert "unpriced" in shown
    assert "$0.00 " not in spectra("requests", "--model", "o3").stdout


def test_requests_as_csv_have_a_header(spectra: Spectra, recorded: list[Record]) -> None:
    """And can be read back."""
    rows = list(csv.DictReader(io.StringIO(spectra("requests", "--limit", "3", "--format", "csv").stdout)))
    assert [row["model"] for row in rows] == [row["model"] for row in recorded[:3]]
    assert json.loads(rows[0]["metadata"]) == recorded[0]["metadata"]


@pytest.mark.parametrize("format_", ["json", "table", "csv"])
def test_one_request_is_shown_with_all_that_is_known(spectra: Spectra, recorded: list[Record], format_: str) -> None:
    """By its id."""
    shown = spectra("requests", "show", recorded[3]["id"], "--format", format_)
    assert shown.exit_code == 0, shown.output
    assert "claude-sonnet-4-5" in shown.stdout
    if format_ == "json":
        assert json.loads(shown.stdout)["cache_write_tokens"] == 2048


def test_the_id_of_the_table_is_enough_to_show_a_request(spectra: Spectra, recorded: list[Record]) -> None:
    """The table has the span id: the whole id is too wide for it."""
    shown = spectra("requests", "--limit", "1").stdout
    assert recorded[0]["span_id"] in shown
    found = rows_of(spectra("requests", "show", recorded[0]["span_id"], "--format", "json"))
    assert found["id"] == recorded[0]["id"]


def test_a_request_that_is_not_there_is_one_line_and_status_1(spectra: Spectra, recorded: list[Record]) -> None:
    """An id that nobody recorded."""
    result = spectra("requests", "show", "0" * 32 + "-" + "0" * 16)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("Error: no request")


def test_a_query_sees_what_is_not_merged_yet(spectra: Spectra, tmp_path: Path) -> None:
    """A record that was only appended is in the answer."""
    rows = records()
    store_at(tmp_path / "home" / "spectra.duckdb").append(rows)
    sql = "select count(*) as n, sum(total_cost_in_cents) as c from spectra_requests"
    assert rows_of(spectra("query", sql, "--format", "json")) == [{"n": 60, "c": total(rows)}]


def test_a_query_follows_the_conventions_of_json(spectra: Spectra, recorded: list[Record]) -> None:
    """Lists, maps, JSON columns, times, bytes and NaN."""
    sql = """select tags, metadata, tool_call_counts, started_at, 'ab'::blob as b, 'nan'::double as nan, 1e400::double as inf
             from spectra_requests where tool_call_counts is not null order by started_at desc limit 1"""
    (row,) = rows_of(spectra("query", sql.replace("1e400::double", "'inf'::double"), "--format", "json"))
    truth = recorded[4]
    assert row == {
        "tags": truth["tags"],
        "metadata": truth["metadata"],
        "tool_call_counts": {"web_search": 2},
        "started_at": truth["started_at"].replace(tzinfo=None).isoformat() + "Z",
        "b": "YWI=",
        "nan": None,
        "inf": None,
    }


def test_columns_of_one_name_are_told_apart(spectra: Spectra, recorded: list[Record]) -> None:
    """A join loses none of them."""
    sql = "select a.i, b.i, b.i as i_1 from range(1) a(i) join (select 7 as i) b on true"
    assert rows_of(spectra("query", sql, "--format", "json")) == [{"i": 0, "i_1": 7, "i_1_1": 7}]


def test_a_query_can_come_from_stdin(spectra: Spectra, recorded: list[Record]) -> None:
    """For statements that are longer than a line."""
    assert rows_of(spectra("query", "-", "--format", "json", input="select 1 as one")) == [{"one": 1}]


@pytest.mark.parametrize(
    "sql",
    ["delete from spectra_requests", "drop table spectra_requests", "create table t (a int)"],
)  # fmt: skip
def test_a_query_changes_nothing(spectra: Spectra, recorded: list[Record], sql: str) -> None:
    """The database is opened read-only."""
    result = spectra("query", sql)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert rows_of(spectra("query", "select count(*) as n from spectra_requests", "--format", "json")) == [{"n": 60}]


@pytest.mark.parametrize("sql", ["select nope from spectra_requests", "selec 1", "select * from nothing"])
def test_a_wrong_query_is_one_line_and_status_1(spectra: Spectra, recorded: list[Record], sql: str) -> None:
    """DuckDB's own words, on one line."""
    result = spectra("query", sql)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith("Error: ")


def test_an_empty_query_is_a_usage_error(spectra: Spectra) -> None:
    """As is one from an empty stdin."""
    assert spectra("query", " ").exit_code == 2
    assert spectra("query", "-", input="").exit_code == 2


def test_an_empty_store_answers_with_no_rows(spectra: Spectra) -> None:
    """Nothing recorded yet is not an error."""
    assert rows_of(spectra("costs", "--format", "json")) == []
    assert rows_of(spectra("requests", "--format", "json")) == []
    assert "no rows" in spectra("costs").stdout


def test_db_names_another_file(spectra: Spectra, tmp_path: Path, recorded: list[Record]) -> None:
    """`--db` beats `SPECTRA_DB` and the home folder."""
    other = tmp_path / "other.duckdb"
    store_at(other).append(recorded[:5])
    assert rows_of(
        spectra("query", "select count(*) as n from spectra_requests", "--format", "json", "--db", other)
    ) == [{"n": 5}]


def test_a_database_that_is_not_there_is_one_line_and_status_1(spectra: Spectra, tmp_path: Path) -> None:
    """A slip in a path does not look like an empty store, and makes no file."""
    missing = tmp_path / "mising.duckdb"
    for command in (("costs",), ("query", "select 1"), ("requests",), ("prune", "--hours", "1")):
        result = spectra(*command, "--db", missing)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert not missing.exists()


def test_a_file_that_is_no_database_is_one_line_and_status_1(spectra: Spectra, tmp_path: Path) -> None:
    """Whatever it is."""
    broken = tmp_path / "broken.duckdb"
    broken.write_text("this is not a database\n" * 500)
    result = spectra("costs", "--db", broken)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert str(broken) in result.stderr
