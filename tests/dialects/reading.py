"""Spans of two families, and how a dialect reads one."""

from __future__ import annotations

from typing import Any

from spectra_otel.dialects._base import Draft, Role
from spectra_otel.dialects._reader import Readers
from tests.made_spans import made

SEMCONV = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
ANTHROPIC = {
    **SEMCONV,
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_creation.input_tokens": 30,
}


def read(scope: str, attributes: dict[str, Any], version: str | None = None, **span: Any) -> tuple[Role, Draft]:
    made_span = made(scope, attributes, version=version, **span)
    reader = Readers().claim(made_span)
    assert reader is not None
    return reader.read(made_span)


def fields(scope: str, attributes: dict[str, Any], version: str | None = None, **span: Any) -> dict[str, Any]:
    role, draft = read(scope, attributes, version, **span)
    assert role is Role.CALL
    return draft.fields
