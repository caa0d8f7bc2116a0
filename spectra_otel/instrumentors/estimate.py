"""What a call cost that nobody counted: an answer cut short, or one that never came."""

from __future__ import annotations

from typing import Any

from spectra_otel import faults
from spectra_otel.providers.values import REGION, Json, Values

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English text in current tokenisers (OpenAI, "What are tokens and how to count them?")."""
_INPUT_KEYS = frozenset(
    {"messages", "input", "prompt", "contents", "system", "instructions", "systemInstruction", "tools"}
)


def estimate_delivered(values: Values, body: Json, characters: int) -> None:
    """Fill in tokens of an aborted answer that were not counted: input from the request, output from what was delivered.

    Where nobody knows what was asked the input stays unknown, and the cost is a floor.
    """
    if values.get("error_type") == "usage_inconsistent":
        return
    if values.get("prompt_tokens") is None:
        read = sum(_characters(value) for key, value in body.items() if key in _INPUT_KEYS)
        if read:
            values["prompt_tokens"] = _tokens(read)
        elif values.get("cost_status") is None:
            values["cost_status"] = "partial"
    if values.get("completion_tokens") is None:
        values["completion_tokens"] = max(_tokens(characters), values.get("reasoning_tokens") or 0)


def put_upper_bound(values: Values, body: Json, size: int) -> None:
    """The most a call of unknown outcome can have cost, in cents, where its request and model limit that."""
    try:
        from spectra_otel import pricing

        found = pricing.estimate_request(
            values.get("provider") or "", body, endpoint=values.get("endpoint"), model=values.get("model"),
            tier=values.get("requested_tier"), region=values.get(REGION), size=size,
        )  # fmt: skip
        if found.upper_in_cents is not None:
            values["upper_bound_in_cents"] = found.upper_in_cents
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
