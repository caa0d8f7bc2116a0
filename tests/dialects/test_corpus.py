"""Really emitted spans of other instrumentations against what the server had served. Skipped where they are not at hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.model.spans import record_of
from spectra_otel.otlp.files import read_file
from spectra_otel.processors.cost.processor import CostProcessor
from spectra_otel.processors.usage.processor import UsageProcessor

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "spans"
SAME = {"provider": "provider", "request_model": "model", "response_model": "snapshot", "response_id": "response_id",
        "is_streaming": "is_streaming", "model_type": "model_type"}  # fmt: skip
USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus of spans here")

Records = dict[str, dict[str, dict[str, Any]]]


def scenarios() -> list[Path]:
    return sorted(path for path in CORPUS.glob("*/*.json") if not path.name.endswith(".expected.json"))


def records_of(spans: Sequence[ReadableSpan], batch: int) -> Records:
    """Records by trace and id, the highest revision of each."""
    usage, cost = UsageProcessor(), CostProcessor()
    found: Records = defaultdict(dict)
    for i in range(0, len(spans), batch):
        for span in cost.process(usage.process(spans[i : i + batch])):
            record = record_of(span)
            if record is not None:
                found[record["trace_id"]][record["id"]] = record.known()
    assert usage.failures == 0
    return found


@pytest.fixture(scope="module")
def spans() -> list[ReadableSpan]:
    return sorted((span for path in scenarios() for span in read_file(path)), key=lambda span: span.end_time or 0)


def calls(path: Path) -> Iterator[tuple[dict[str, Any], str | None, list[str], set[str]]]:
    """Of each response served: the truth, its leaf span, other spans of it, and what the leaf lacks or gets wrong."""
    truth = json.loads(path.with_name(f"{path.stem}.expected.json").read_text())
    others = truth.get("same_response_also_on") or [[]] * len(truth["calls"])
    unsure: set[str] = {*(truth.get("lost") or ()), *(truth.get("wrong") or ())}
    for call, leaf, also in zip(truth["calls"], truth.get("leaf_span_ids") or [], others, strict=False):
        yield call, leaf, [other["span_id"] for other in also or []], unsure


def trace_ids(path: Path) -> set[str]:
    groups = json.loads(path.read_text()).get("resourceSpans", [])
    return {s["traceId"].lower() for g in groups for scoped in g["scopeSpans"] for s in scoped["spans"]}


@pytest.mark.parametrize("batch", [1, 10, 100_000])
def test_no_response_is_recorded_twice(spans: list[ReadableSpan], batch: int) -> None:
    """However spans are batched, a scenario has no more records than the server served responses."""
    found = records_of(spans, batch)
    for path in scenarios():
        served = json.loads(path.with_name(f"{path.stem}.expected.json").read_text())["calls"]
        assert sum(len(found[trace]) for trace in trace_ids(path)) <= len(served), path.parent.name + "/" + path.name


def test_records_say_what_was_served(spans: list[ReadableSpan]) -> None:
    """No field contradicts the truth, no response is lost, at most 2 % of the knowable is missing and 3 % said to be inexact."""
    found, count, complaints = records_of(spans, 100_000), Counter[str](), []
    for path in scenarios():
        records = [record for trace in trace_ids(path) for record in found[trace].values()]
        for call, leaf, also, unsure in calls(path):
            if leaf is None:
                continue
            record = next((r for i in (leaf, *also) for r in records if r["span_id"] == i), None)
            record = record or next(
                (r for r in records if r.get("response_id") == call.get("response_id") is not None), None
            )
            if record is None:
                complaints.append(f"{path}: no record for {call.get('response_id')}")
                continue
            for field, verdict in judged(call, record, unsure):
                count[verdict] += 1
                if verdict == "wrong":
                    complaints.append(f"{path}: {field}: {record.get(SAME.get(field, field))} for {call[field]}")
    assert complaints == []
    assert count["missing"] <= 0.02 * count["right"]
    assert count["honest"] <= 0.03 * count["right"]


def judged(call: dict[str, Any], record: dict[str, Any], unsure: set[str]) -> Iterator[tuple[str, str]]:
    is_exact = record["cost_status"] in ("priced", "provider")
    for field in (*SAME, *USAGE):
        want, have = call.get(field), record.get(SAME.get(field, field))
        if want is None or (have is None and (not want or field in unsure)) or (field in USAGE and "usage" in unsure):
            continue
        if str(have).lower() == str(want).lower():
            yield field, "right"
        elif field in USAGE and not is_exact:
            yield field, "honest"
        elif field not in unsure:
            yield field, "missing" if have is None else "wrong"
