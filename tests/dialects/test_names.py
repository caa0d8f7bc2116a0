"""What the names on a span come to is worked out once, and holds for spans with the very same names only."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel.dialects import _providers as providers
from spectra_otel.dialects import _reader
from spectra_otel.dialects._reader import Reader, Readers
from tests.dialects.reading import SEMCONV, fields
from tests.made_spans import made

SCOPE = "opentelemetry.instrumentation.genai.openai"
CALL = {
    **SEMCONV, "server.address": "localhost", "server.port": 8000, "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": ("stop",), "openai.response.service_tier": "default",
}  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"gen_ai.response.id": "chatcmpl-2"},
    {"gen_ai.usage.input_tokens": -1},
    {"gen_ai.request.model": "o3"},
    {"gen_ai.request.model": "text-embedding-3-small"},
    {"gen_ai.request.model": 7},
    {"gen_ai.request.model": 7.0},
    {"gen_ai.request.model": "m" * 5000},
    {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "anthropic.claude-sonnet-4-5-v1:0"},
    {"server.address": "api.groq.com", "server.port": 443},
    {"server.address": "api.groq.com", "server.port": 443.0},
    {"server.port": 1},
    {"server.port": True},
    {"server.port": 11434},
    {"server.port": "11434"},
    {"gen_ai.request.model": "openai/gpt-4o", "server.address": "", "gen_ai.response.id": "gen-1"},
    {"gen_ai.request.model": "openai/gpt-4o", "server.address": "", "gen_ai.response.id": "chatcmpl-3"},
    {"gen_ai.response.finish_reasons": ("tool_calls",)},
    {"gen_ai.response.finish_reasons": ["tool_calls"]},
    {"gen_ai.response.finish_reasons": ("stop", "tool_calls")},
    {"gen_ai.response.finish_reasons": (1,)},
    {"gen_ai.response.finish_reasons": (True,)},
    {"openai.response.service_tier": "flex"},
    {"gen_ai.operation.name": "EMBEDDINGS"},
    {"gen_ai.operation.name": "thinking"},
]


def reader() -> Reader:
    found = Readers().claim(made(SCOPE, CALL))
    assert found is not None
    return found


def test_a_span_is_read_alike_whatever_was_read_before() -> None:
    """A reader that has seen spans of all kinds reads each of them as one that has seen none."""
    spans = [{**CALL, **other} for other in OTHERS]
    experienced = reader()
    for attributes in (*spans, CALL, *spans, *reversed(spans)):
        assert experienced.read(made(SCOPE, attributes))[1].fields == fields(SCOPE, attributes)
    assert any(names[0].names is not None for names in providers.settled)


def test_hosts_that_become_known_later_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host's name came to before the setting was read is forgotten."""
    experienced = reader()
    attributes = {**CALL, "server.address": "llm.corp"}
    for provider in ("openai", "groq"):
        if provider == "groq":
            monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", "llm.corp=groq")
            providers.know_hosts()
        for _ in range(2):
            assert experienced.read(made(SCOPE, attributes))[1].fields["provider"] == provider
    monkeypatch.undo()
    providers.know_hosts()


def test_names_without_end_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from the wire: only so many combinations, of so many characters, are remembered."""
    monkeypatch.setattr(_reader, "_MAX_SETTLED", 20)
    experienced = reader()
    for i in range(100):
        experienced.read(made(SCOPE, {**CALL, "gen_ai.request.model": f"model-{i}"}))
        experienced.read(made(SCOPE, {**CALL, "gen_ai.request.model": f"model-{i}" + "x" * 1000}))
    assert 0 < len(providers.settled) <= 20
    assert all(len(str(names[1])) < 1000 for names in providers.settled)
