"""What a call cost that nobody counted: an answer cut short, or one that never came."""

from __future__ import annotations

from typing import Any

from spectra_otel import faults
from spectra_otel.providers.base import Json, Values

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English text in current tokenisers (OpenAI, "What are tokens and how to count them?")."""
BYTES_PER_TOKEN_AT_LEAST = 2
"""No current tokeniser makes more than one token of two bytes of a request, its JSON included: the base of an upper bound."""
_INPUT_KEYS = frozenset(
    {"messages", "input", "prompt", "contents", "system", "instructions", "systemInstruction", "tools"}
)


def estimate_delivered(values: Values, body: Json, characters: int) -> None:
    """Fill in tokens of an aborted answer that were not counted: input from the request, output from what was delivered."""
    if values.get("error_type") == "usage_inconsistent":
        return
    if values.get("prompt_tokens") is None:
        read = sum(_characters(value) for key, value in body.items() if key in _INPUT_KEYS)
        values["prompt_tokens"] = _tokens(read)
    if values.get("completion_tokens") is None:
        values["completion_tokens"] = max(_tokens(characters), values.get("reasoning_tokens") or 0)


def put_upper_bound(values: Values, body: Json, size: int) -> None:
    """The most a call of unknown outcome can have cost, in cents, where the request limits its output."""
    limit = next(
        (body[k] for k in ("max_completion_tokens", "max_output_tokens", "max_tokens") if type(body.get(k)) is int),
        None,
    )
    if limit is None and values.get("model_type") == "embedding":
        limit = 0
    if limit is None or not size or not values.get("model"):
        return
    try:
        from spectra_otel import pricing

        usage = {"prompt_tokens": size // BYTES_PER_TOKEN_AT_LEAST + 1, "completion_tokens": limit}
        cost: Any = pricing.calculate(values["provider"], values["model"], usage)
        values["upper_bound_in_cents"] = cost.total_cost_in_cents
    except Exception as error:
        faults.report("upper bound", error)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def _characters(value: Any) -> int:
    """Characters of all text in a value; media in base64 is no text."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(_characters(item) for key, item in value.items() if key not in ("data", "type", "role"))
    return 0
