"""The whole way in one process: a real SDK, the pipeline, the store, and the cost to the last digit."""

from __future__ import annotations

import gc
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import google.genai as genai
import openai
import pytest

import spectra_otel as spectra
from spectra_otel.component import Kind, registry

ASK: Any = [{"role": "user", "content": "A long story about Lisbon. " * 300}]


@pytest.fixture
def running(provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    spectra.configure()
    yield tmp_path
    spectra.shutdown()


def test_every_call_costs_what_was_served(running, provider):
    """Sync calls of three SDKs, plain and streamed, cached, reasoning: each row's cost is the ledger's usage, priced."""
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        for model in ("gpt-4o", "gpt-4o", "gpt-4o-mini"):
            client.chat.completions.create(model=model, messages=ASK)
        list(client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True))
        client.responses.create(model="o3", input="Think.")
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    with anthropic.Anthropic(base_url=provider.url("anthropic"), api_key="x", max_retries=0) as client:
        system = [{"type": "text", "text": "The rules. " * 600, "cache_control": {"type": "ephemeral"}}]
        ask = {
            "model": "claude-haiku-4-5",
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "Hi"}],
            "system": system,
        }
        client.messages.create(**ask)
        with client.messages.stream(**ask) as stream:
            stream.until_done()
    client = genai.Client(api_key="x", http_options={"base_url": provider.url("google")})
    client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    client.close()
    spectra.shutdown()
    rows = stored(running)
    assert len(rows) == len(provider.ledger) == 9
    for row, line in zip(rows, provider.ledger, strict=True):
        cost = spectra.estimate(line.provider, line.snapshot, **line.usage)
        assert row["cost_status"] == cost.cost_status == "priced", line
        assert row["total_cost_in_cents"] == cost.total_cost_in_cents, line
        assert row["total_cost_in_cents"] > Decimal(0)
        assert row["provider"] == line.provider


def test_a_stream_left_early_is_estimated_and_a_refusal_costs_nothing(running, provider):
    """The two statuses beside priced that every app meets."""
    with openai.OpenAI(base_url=provider.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="gpt-4o", messages=ASK, stream=True, extra_headers={"x-demo-delay": "0.01"}
        )
        for _, _ in zip(range(4), stream, strict=False):
            pass
        del stream
        gc.collect()
        spectra.force_flush()
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="gpt-4o", messages=ASK, extra_headers={"x-demo-error": "429"})
    spectra.shutdown()
    left, refused = stored(running)
    assert (left["cost_status"], left["is_aborted"], left["is_failed"]) == ("estimated", True, False)
    assert left["total_cost_in_cents"] > 0
    assert (refused["cost_status"], refused["total_cost_in_cents"], refused["is_failed"]) == ("not_billed", 0, True)


def stored(home: Path) -> list[dict[str, Any]]:
    duckdb = registry(Kind.EXPORTER)["duckdb"]
    config = replace(duckdb.default_config(), path=str(home / "spectra.duckdb"))
    assert duckdb.store is not None
    names, rows = duckdb.store(config).query("select * from spectra_requests order by started_at")
    return [dict(zip(names, row, strict=True)) for row in rows]
