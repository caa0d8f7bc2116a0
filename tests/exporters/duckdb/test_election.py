"""One response recorded by two processes is one row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from spectra_otel.exporters.duckdb.store import DuckDBStore
from tests.exporters.duckdb.records import NOON, record, rollup_differences


def call(span: str, process: str, scope: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    """A record of the one trace these tests share; times in seconds after noon."""
    trace = "a" * 32
    times = {"started_at": NOON + timedelta(seconds=start), "completed_at": NOON + timedelta(seconds=end)}
    identity = {"id": f"{trace}-{span}", "trace_id": trace, "span_id": span, "response_id": "chatcmpl-1"}
    return record(0, **(identity | times | {"process_id": process, "instrumentation": scope} | fields))


APP = call("app", "1", "openai-agents", 0, 10)
GATEWAY = call("gateway", "2", "litellm", 1, 9)


@pytest.mark.parametrize("order", [(APP, GATEWAY), (GATEWAY, APP)], ids=["outer first", "inner first"])
@pytest.mark.parametrize("merges", [1, 2])
def test_the_innermost_is_kept(store: DuckDBStore, order: tuple[dict[str, Any], ...], merges: int) -> None:
    """Whatever order they come in, together or apart, the record that ended first stays."""
    for values in order:
        store.append([values])
        if merges == 2:
            store.merge_pending()
    store.merge_pending()
    assert [row["span_id"] for row in store.requests()] == ["gateway"]
    assert rollup_differences(store) == []
    store.append(order)
    assert store.merge_pending().new == 0


DIFFERENT = {
    "another response": call("other", "2", "litellm", 1, 9, response_id="chatcmpl-2"),
    "the same process": call("other", "1", "litellm", 1, 9),
    "the same scope": call("other", "2", "openai-agents", 1, 9),
    "another time": call("other", "2", "litellm", 11, 12),
    "no response id": call("other", "2", "litellm", 1, 9, response_id=None),
}


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_is_not_one_response_stays(store: DuckDBStore, other: dict[str, Any]) -> None:
    """A constant response id is not enough: scope, process and time must agree."""
    store.append([APP, other])
    store.merge_pending()
    assert len(store.requests()) == 2


def test_a_constant_response_id_does_not_merge_calls(store: DuckDBStore) -> None:
    """A thousand calls of one trace with one response id, from two processes in turn, are a thousand records."""
    calls = [call(f"{n}", str(n % 2), f"scope-{n % 2}", n * 2, n * 2 + 1) for n in range(1000)]
    store.append(calls)
    assert store.merge_pending().new == 1000
