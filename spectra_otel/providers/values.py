"""From JSON into record fields. What is absent, or is not what it should be, is left out: unknown is never 0."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Values = dict[str, Any]
"""Record fields by name."""


def put_count(values: Values, name: str, count: Any) -> None:
    """Set a count if it is one. A float that is whole is one, too; anything else stays out."""
    if type(count) is int or (isinstance(count, float) and count.is_integer()):
        values[name] = int(count)


def put_text(values: Values, name: str, text: Any) -> None:
    """Set a text if it is one that says something."""
    if text and isinstance(text, str):
        values[name] = text


SAID_TIER = "spectra.said_tier"
"""The tier that the app's code or the host names, which wins over the answer's: a batch result does not know that it is one."""
REGION = "spectra.region"
"""The region of the host that was called, where prices depend on it; not a field of the record."""


def put_region(values: Values, region: str | None) -> None:
    """Keep in the raw usage where a call ran, under the name that Anthropic's has, if it makes a difference to the price."""
    if region:
        from spectra_otel.pricing import places  # which takes its time to import, and most calls do without

        model = str(values.get("snapshot") or values.get("model") or "")
        if places.premium(str(values.get("provider")), model, {}, "", region) is not None:
            values["usage_raw"] = {**(values.get("usage_raw") or {}), "inference_geo": region}


JOB = "spectra.job"
"""The id of the job that a call began and that is not done; not a field of the record."""


def put_job(values: Values, job: Any) -> None:
    """The answer is a job that is not done: its cost is not known until a later request asks after it."""
    values["cost_status"] = "billed_unknown"
    put_text(values, JOB, job)


def length_of(text: Any) -> int:
    """Characters of a text; 0 of what is none."""
    return len(text) if type(text) is str else 0


def as_dict(value: Any) -> Json:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


MOST_TOKENS = 10**12
"""A count above this is not one that a provider ever billed."""


def distrust_absurd_usage(values: Values, token_fields: tuple[str, ...]) -> None:
    """Take out token counts that contradict themselves; ``usage_raw`` keeps what was sent.

    Negative or absurd counts, or more cached than read: none of it is trusted, nothing priced. More reasoning than output
    (another tokeniser counted it) takes out the reasoning alone, which has no price of its own.
    """
    counts = [count for count in map(values.get, token_fields) if count is not None]
    prompt, completion = values.get("prompt_tokens"), values.get("completion_tokens")
    cached = (values.get("cached_tokens") or 0) + (values.get("cache_write_tokens") or 0)
    if (counts and (min(counts) < 0 or max(counts) > MOST_TOKENS)) or (prompt is not None and cached > prompt):
        for name in token_fields:
            values.pop(name, None)
        values.setdefault("error_type", "usage_inconsistent")
    elif completion is not None and (values.get("reasoning_tokens") or 0) > completion:
        del values["reasoning_tokens"]
