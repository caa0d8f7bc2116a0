"""`spectra import`: OTLP JSON files become records, exactly once, in the order in which spans ended."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
import zstandard

from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.testing import make_request
from tests.cli.support import Spectra, rows_of

START = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
COUNT = ("query", "select count(*) as n from spectra_requests", "--format", "json")


def span(
    number: int, *, parent: int = 0, trace: int = 0, ends: int = 0, attributes: dict[str, str | int] | None = None
) -> dict[str, Any]:
    """A chat span of a GenAI instrumentation; ``ends`` in seconds."""
    values = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.id": f"chatcmpl-{number}",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, **(attributes or {}),
    }  # fmt: skip
    made = {
        "traceId": f"{trace or number:032x}", "spanId": f"{number:016x}", "name": "chat gpt-4o", "kind": 3,
        "startTimeUnixNano": str(START), "endTimeUnixNano": str(START + (ends or number) * SECOND),
        "attributes": [
            {"key": key, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
            for key, v in values.items()
        ],
    }  # fmt: skip
    return made | ({"parentSpanId": f"{parent:016x}"} if parent else {})


def document(*spans: dict[str, Any], scope: str = "opentelemetry.instrumentation.genai.openai") -> dict[str, Any]:
    """A request with these spans."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scoped = {"scope": {"name": scope, "version": "1.3b0"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def write(path: Path, *documents: Any) -> Path:
    path.write_text("".join((d if isinstance(d, str) else json.dumps(d)) + "\n" for d in documents))
    return path


def test_a_file_becomes_records_with_their_cost(spectra: Spectra, tmp_path: Path) -> None:
    """1,000 tokens at $2.50 a million and 100 at $10: 0.35 cents."""
    path = write(tmp_path / "spans.jsonl", document(span(1), span(2)), document(span(3)))
    result = spectra("import", path)
    assert result.exit_code == 0, result.output
    assert "3 spans, 3 records, 3 new" in result.stderr
    rows = rows_of(spectra("query", "select * from spectra_requests order by id", "--format", "json"))
    assert [row["id"] for row in rows] == [f"{n:032x}-{n:016x}" for n in (1, 2, 3)]
    assert {(float(row["total_cost_in_cents"]), row["cost_status"], row["service_name"]) for row in rows} == {
        (0.35, "priced", "shop")
    }


def test_what_apps_left_in_the_spool_is_not_of_the_import(spectra: Spectra, tmp_path: Path) -> None:
    """It is merged too, and not counted as new here."""
    DuckDBStore(tmp_path / "home" / "spectra.duckdb").append([make_request()])
    result = spectra("import", write(tmp_path / "spans.jsonl", document(span(1))))
    assert "1 spans, 1 records, 1 new" in result.stderr
    assert rows_of(spectra(*COUNT)) == [{"n": 2}]


def test_a_file_imported_twice_is_counted_once(spectra: Spectra, tmp_path: Path) -> None:
    """By id, whichever file it comes in."""
    path = write(tmp_path / "a.jsonl", document(span(1), span(2)))
    other = write(tmp_path / "b.json", document(span(2), span(3)))
    spectra("import", path)
    again = spectra("import", path, other)
    assert "1 new, 3 already there" in again.stderr
    assert rows_of(spectra(*COUNT)) == [{"n": 3}]
    assert rows_of(spectra("costs", "--format", "json"))[0]["requests"] == 3


@pytest.mark.parametrize("swapped", [False, True])
def test_the_inner_span_of_a_response_bears_its_cost_in_whatever_order_files_are_given(
    spectra: Spectra, tmp_path: Path, swapped: bool
) -> None:
    """Two instrumentations saw one response; the one below ended first. One record, one cost."""
    inner = span(1, parent=2, trace=7, ends=5)
    outer = span(2, trace=7, ends=6) | {"attributes": inner["attributes"]}
    files = [
        write(tmp_path / "outer.jsonl", document(outer, scope="openinference.instrumentation.openai")),
        write(tmp_path / "inner.jsonl", document(inner)),
    ]
    assert spectra("import", *(reversed(files) if swapped else files)).exit_code == 0
    rows = rows_of(spectra("query", "select span_id from spectra_requests", "--format", "json"))
    assert rows == [{"span_id": f"{1:016x}"}]


def test_a_bad_line_among_good_ones_is_named(spectra: Spectra, tmp_path: Path) -> None:
    """The rest is imported; the exit status says that something was not."""
    path = write(tmp_path / "a.jsonl", document(span(1)), '{"resourceSpans": [{]}', document(span(2)))
    result = spectra("import", path)
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith(f"Error: {path}:2: ")]
    assert rows_of(spectra(*COUNT)) == [{"n": 2}]


def test_a_bad_span_among_good_ones_is_named(spectra: Spectra, tmp_path: Path) -> None:
    """As is one whose id is none."""
    path = write(tmp_path / "a.json", document(span(1), span(2) | {"spanId": "xyz"}, span(3)))
    result = spectra("import", path)
    assert result.exit_code == 1
    assert "spanId" in result.stderr
    assert rows_of(spectra(*COUNT)) == [{"n": 2}]


@pytest.mark.parametrize("text", ["not json", "[]", '{"resourceSpans": {}}', '{"spans": []}', "\x00\x00"])
def test_a_file_that_is_not_otlp_json_is_one_line_and_status_1(spectra: Spectra, tmp_path: Path, text: str) -> None:
    """Named with its path."""
    path = write(tmp_path / "a.json", text)
    result = spectra("import", path)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert str(path) in errors[0]


@pytest.mark.parametrize("text", ["", "{}", '{"resourceSpans":[]}'])
def test_an_empty_document_is_fine(spectra: Spectra, tmp_path: Path, text: str) -> None:
    """Nothing to do, status 0."""
    result = spectra("import", write(tmp_path / "a.json", text))
    assert result.exit_code == 0
    assert "0 spans, 0 records, 0 new" in result.stderr


def test_spans_of_other_things_are_no_records(spectra: Spectra, tmp_path: Path) -> None:
    """A database call costs nothing here."""
    other = span(1) | {"name": "SELECT", "attributes": [{"key": "db.system", "value": {"stringValue": "postgresql"}}]}
    result = spectra("import", write(tmp_path / "a.json", document(other, span(2), scope="db")))
    assert "2 spans, 1 records, 1 new" in result.stderr


def test_absurd_usage_loses_no_line(spectra: Spectra, tmp_path: Path) -> None:
    """Negative or astronomical counts are not believed; the call is recorded without a cost."""
    spans = [
        span(1, attributes={"gen_ai.usage.input_tokens": -5}), span(2, attributes={"gen_ai.usage.input_tokens": 10**19}),
        span(3, attributes={"gen_ai.request.model": "m" * 10_000, "gen_ai.response.model": "m" * 10_000}), span(4),
    ]  # fmt: skip
    result = spectra("import", write(tmp_path / "a.json", document(*spans)))
    assert result.exit_code == 0, result.output
    rows = rows_of(
        spectra("query", "select total_cost_in_cents as c from spectra_requests order by span_id", "--format", "json")
    )
    assert [row["c"] is not None for row in rows] == [False, False, False, True]


@pytest.mark.parametrize("form", ["gz", "zst", "pipe", "stdin"])
def test_files_may_be_compressed_and_need_not_be_files(form: str, tmp_path: Path) -> None:
    """As `zcat` would give them: one by one, or into a pipe; a bad line is named with the file as it was given."""
    plain = write(tmp_path / "plain.jsonl", document(span(1)), document(span(2)))
    data = plain.read_bytes() + b"not json\n"
    given = tmp_path / f"a.{form}"
    given.write_bytes({"gz": gzip.compress, "zst": zstandard.compress}.get(form, bytes)(data))
    program = f"{sys.executable} -m spectra_otel.cli"
    shell = {"pipe": f"cat {given} | {program} import /dev/stdin", "stdin": f"cat {given} | {program} import -"}
    run = subprocess.run(
        shell.get(form, f"{program} import {given}"),
        shell=True, env={**os.environ, "SPECTRA_HOME": str(tmp_path / "home")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = {"pipe": "/dev/stdin", "stdin": "-"}.get(form, str(given))
    assert run.stderr.splitlines()[0].startswith("2 spans, 2 records, 2 new")
    [fault] = run.stderr.splitlines()[1:]
    assert fault.startswith(f"Error: {name}:3: not JSON: invalid literal")
    assert fault.endswith("at column 1")
    assert run.returncode == 1


def test_what_of_a_torn_archive_can_be_read_is_imported(spectra: Spectra, tmp_path: Path) -> None:
    """The rest is missing, which is said."""
    noise = document(*(span(number) for number in range(1, 400)))
    data = gzip.compress(orjson.dumps(document(span(1_000))) + b"\n" + orjson.dumps(noise) + b"\n")
    (tmp_path / "torn.gz").write_bytes(data[:-40])
    result = spectra("import", tmp_path / "torn.gz")
    assert result.exit_code == 1
    assert result.stderr.startswith("1 spans, 1 records, 1 new")
    assert "torn.gz: cannot be unpacked to its end" in result.stderr


def test_a_file_that_is_not_there_is_a_usage_error(spectra: Spectra, tmp_path: Path) -> None:
    """Status 2, before anything is read."""
    assert spectra("import", tmp_path / "none.json").exit_code == 2
    assert spectra("import").exit_code == 2


def test_a_store_that_somebody_holds_only_delays(spectra: Spectra, tmp_path: Path) -> None:
    """Another process has the file open: the import is durable in the spool, and one line says who is in the way."""
    database = tmp_path / "home" / "spectra.duckdb"
    spectra("import", write(tmp_path / "a.json", document(span(1))))
    script = f"import duckdb, sys; c = duckdb.connect({str(database)!r}); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        result = spectra("import", write(tmp_path / "b.json", document(span(2))))
        assert (result.exit_code, result.stderr.count("\n")) == (0, 1), result.stderr
        assert "1 records" in result.stderr
        assert f"wait in the spool: {database}: in use by process {holder.pid}" in result.stderr
    finally:
        holder.communicate("")
    assert rows_of(spectra(*COUNT)) == [{"n": 2}]


def test_a_database_of_a_newer_version_is_refused_in_one_line(spectra: Spectra, tmp_path: Path) -> None:
    """Nothing is changed in it."""
    path = write(tmp_path / "a.json", document(span(1)))
    spectra("import", path)
    with duckdb.connect(str(tmp_path / "home" / "spectra.duckdb")) as connection:
        connection.execute("insert into spectra_schema values (999, now(), 'future')")
    for command in (("import", path), COUNT, ("costs",)):
        result = spectra(*command)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "newer" in result.stderr


def test_no_bar_where_no_terminal_is(tmp_path: Path) -> None:
    """A log file gets one line, not a bar."""
    many = [document(*(span(i) for i in range(1 + 500 * j, 501 + 500 * j))) for j in range(24)]
    path = write(tmp_path / "big.jsonl", *many)
    assert path.stat().st_size > 8_000_000
    run = subprocess.run(
        [sys.executable, "-m", "spectra_otel.cli", "import", path],
        env={**os.environ, "SPECTRA_HOME": str(tmp_path / "home")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr.startswith("12000 spans, 12000 records, 12000 new")
    assert run.stderr.count("\n") == 1
