"""A record becomes a line that the merge can always read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spectra_otel.exporters.duckdb.line import OUT_OF_RANGE, decode, encode
from spectra_otel.exporters.duckdb.store import DuckDBStore
from tests.exporters.duckdb.records import record


def line(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(encode(record(**fields)))
    return values


def test_money_is_written_without_an_exponent() -> None:
    """Zero cents of eight digits is ``0.00000000``, not ``0E-8``."""
    assert line(total_cost_in_cents=Decimal("0E-8"))["total_cost_in_cents"] == "0.00000000"


def test_unknown_is_left_out() -> None:
    """A field that is None is not in the line, and a field nobody knows is dropped."""
    written = line(prompt_tokens=None, favourite_colour="blue")
    assert "prompt_tokens" not in written
    assert "favourite_colour" not in written


@pytest.mark.parametrize("tokens", [10**19, -1, 10**30, 1.5, "many", float("inf")])
def test_an_absurd_count_is_unknown_and_claims_no_cost(tokens: Any) -> None:
    """A count out of range becomes NULL, the cost that rests on it too, and the raw value is kept."""
    written = line(prompt_tokens=tokens, usage_raw={"prompt_tokens": 5})
    assert "prompt_tokens" not in written
    assert "total_cost_in_cents" not in written
    assert written["cost_status"] == "unpriced"
    assert written["error_type"] == "usage_inconsistent"
    assert written["usage_raw"]["prompt_tokens"] == 5
    assert written["usage_raw"][OUT_OF_RANGE] == {"prompt_tokens": str(tokens)}


def test_an_absurd_latency_does_not_cost_the_cost() -> None:
    """What has nothing to do with usage is mended alone."""
    written = line(latency_ms=-5)
    assert "latency_ms" not in written
    assert written["total_cost_in_cents"] == "1.00000000"
    assert written["usage_raw"][OUT_OF_RANGE] == {"latency_ms": "-5"}


ODD: list[dict[str, Any]] = [
    {"total_cost_in_cents": Decimal("1e30")},
    {"total_cost_in_cents": Decimal("NaN")},
    {"total_cost_in_cents": 0.1},
    {"model": "m" * 10_000},
    {"model": "\ud800 lone surrogate"},
    {"model": 42},
    {"model": "nul \x00 byte"},
    {"tags": "not-a-list"},
    {"tags": [1, None, "x"]},
    {"tool_call_counts": {"web_search": 10**20}},
    {"tool_call_counts": {"web_search": "three"}},
    {"metadata": {1: {2: b"bytes"}, "nan": float("nan"), "huge": 10**40}},
    {"metadata": {"deep": __import__("functools").reduce(lambda inner, _: [inner], range(500), 1)}},
    {"usage_raw": {"\ud800": "\udfff"}},
    {"usage_raw": "text"},
    {"duration_seconds": float("nan")},
    {"duration_seconds": 3},
    {"status_code": 10**10},
    {"is_failed": "perhaps"},
    {"completed_at": "2026-11-20T12:00:00"},
    {"completed_at": "no time"},
    {"media": [{"uri": "x", "bytes": 5}, {"mime_type": "image/png", "odd": 1}]},
    {"media": "none"},
    {"request_body": [1, "2", None]},
]


@pytest.mark.parametrize("fields", ODD, ids=lambda fields: next(iter(fields)))
def test_whatever_a_record_holds_is_stored(store: DuckDBStore, fields: dict[str, Any]) -> None:
    """An odd value costs neither its record nor the ones beside it."""
    store.append([record(0), record(1, **fields), record(2)])
    result = store.merge_pending()
    assert (result.new, result.quarantined) == (3, 0)
    assert len(store.requests()) == 3


def test_a_record_without_an_id_is_refused() -> None:
    """Nothing can be done with a record that has no id."""
    with pytest.raises(ValueError, match="without an id"):
        encode({"started_at": datetime.now(UTC)})


def test_a_line_can_be_read_back_and_mended() -> None:
    """What decode reads, encode writes as it was."""
    text = encode(record(7), rev=3)
    values, rev = decode(text)
    assert rev == 3
    assert json.loads(encode(values, rev)) == json.loads(text)
