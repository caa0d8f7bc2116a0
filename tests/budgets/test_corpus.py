"""Bounds against calls that were really made: what a request was billed for was never more than what is reserved for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spectra_otel import pricing
from spectra_otel.budgets.amounts import units
from spectra_otel.budgets.bounds import Request, upper_bound

RECORDED = Path(__file__).parents[3] / "shared" / "corpus" / "http"
USAGE = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "image_count",
    "search_units", "input_characters",
)  # fmt: skip


def calls() -> Iterator[tuple[str, Request, dict[str, Any]]]:
    """Id, request and usage of the calls with a JSON body."""
    truths = {row["id"]: row for row in map(json.loads, (RECORDED / "expected.jsonl").read_text().splitlines())}
    for line in (RECORDED / "corpus.jsonl").read_text().splitlines():
        pair = json.loads(line)
        truth = {**truths[pair["id"]], **truths[pair["id"]].get("expected", {})}
        text = pair["request"].get("body") or ""
        if not text.startswith("{") or pair["request"].get("truncated"):
            continue
        model = truth.get("request_model") or truth.get("response_model") or ""
        tier = truth["service_tier"] if isinstance(truth.get("service_tier"), str) else "standard"
        request = Request(
            truth["provider"], model, truth["model_type"] or "text", tier, json.loads(text), len(text.encode())
        )
        yield pair["id"], request, {name: truth[name] for name in USAGE if truth.get(name) is not None}


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded calls here")
def test_no_recorded_call_cost_more_than_its_bound() -> None:
    """Tokens and money of all recorded calls whose usage is known; streams may be extended."""
    compared = 0
    beyond: list[str] = []
    for name, request, usage in calls():
        bound = upper_bound(request._replace(body={**request.body, "stream": False}))
        used = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        cost = pricing.calculate(request.provider, request.model, usage, pricing_tier=request.tier).total_cost_in_cents
        is_priced = cost is not None and not bound.unpriced
        compared += is_priced
        if used > bound.amount.tokens or (cost is not None and is_priced and units(cost) > bound.amount.cost):
            beyond.append(
                f"{name} {request.provider}/{request.model}: {used} tokens, {cost} cents; bound {bound.amount}"
            )
    assert compared > 100
    assert beyond == []
