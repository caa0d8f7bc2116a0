"""Calls whose answer was made in shares: requests of their own, or tokens of another model, each at its own price.

- The image tool of OpenAI's Responses draws with another model; ``tool_usage.image_gen`` sums its tokens beside ``usage``
  (developers.openai.com/api/docs/guides/image-generation).
- What a model wrote of an image in SVG stands in ``svg_usage``, beside the ``usage`` of the model that drew it.
- Searches by OpenAI's ``web_search_preview`` have a price of their own with models that do not reason; ``tool_usage`` says so.
- Anthropic's ``usage.iterations`` list the requests of one answer. Compactions and the advisor, who is another model, are billed
  and not in the totals (platform.claude.com/docs/en/build-with-claude/compaction, …/agents-and-tools/tool-use/advisor-tool).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from spectra_otel.pricing.cost import Cost

IMAGES = "image_generation"
PREVIEW = "web_search_preview"
_WORST = ("partial", "estimated", "priced")
_PARTS = ("prompt_cost_in_cents", "completion_cost_in_cents", "media_cost_in_cents", "tool_cost_in_cents")


class Share(NamedTuple):
    """``usage`` in tokens of ``model``; None is the model that was asked."""

    model: str | None
    usage: Mapping[str, Any]


class Split(NamedTuple):
    """The shares of a call, the first of them of the model that was asked. ``is_exact``: the answer tells all that prices ask."""

    shares: list[Share]
    is_exact: bool = True


def split(usage: Mapping[str, Any]) -> Split | None:
    """The shares of a call, by the usage object that its record keeps; None for one that is whole."""
    raw = usage.get("usage_raw")
    if not isinstance(raw, Mapping) or usage.get("prompt_tokens") is None or usage.get("completion_tokens") is None:
        return None
    rows = raw.get("iterations")
    if isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows):
        return _iterations(rows, usage)
    drawn = _part(raw, "svg_usage")
    if isinstance(drawn.get("model"), str):
        tokens = {"prompt_tokens": drawn.get("input_tokens"), "completion_tokens": drawn.get("output_tokens")}
        return Split([Share(None, usage), Share(str(drawn["model"]), tokens)])
    spent, counts = _part(raw, "tool_usage"), usage.get("tool_call_counts")
    if _part(spent, "web_search").get("type") != PREVIEW or not isinstance(counts, Mapping):
        return _images(_part(spent, "image_gen"), usage)
    usage = {**usage, "tool_call_counts": {PREVIEW if tool == "web_search" else tool: n for tool, n in counts.items()}}
    return _images(_part(spent, "image_gen"), usage) or Split([Share(None, usage)])


def summed(costs: Sequence[tuple[Share, Cost]], *, is_exact: bool) -> Cost:
    """The cost of a call from those of its shares. Other models are tools; without a price of theirs the sum is a floor."""
    first = costs[0][1]
    if first.total_cost_in_cents is None:
        return first
    parts: dict[str, Decimal | None] = dict.fromkeys(_PARTS)
    contract = Decimal(0)
    for share, cost in costs:
        for part in _PARTS:
            amount = getattr(cost, part)
            target = part if share.model is None else _PARTS[-1]
            if amount is not None:
                parts[target] = (parts[target] or Decimal(0)) + amount
        contract += next(
            (c for c in (cost.contract_cost_in_cents, cost.total_cost_in_cents) if c is not None), Decimal(0)
        )
    said = {"partial" if cost.total_cost_in_cents is None else cost.cost_status for _, cost in costs}
    if not is_exact:
        said.add("estimated")
    return first._replace(
        total_cost_in_cents=sum((amount for amount in parts.values() if amount is not None), Decimal(0)),
        prompt_cost_in_cents=parts["prompt_cost_in_cents"],
        completion_cost_in_cents=parts["completion_cost_in_cents"],
        media_cost_in_cents=parts["media_cost_in_cents"],
        tool_cost_in_cents=parts["tool_cost_in_cents"],
        cost_status=next((word for word in _WORST if word in said), first.cost_status),
        price_disputed=any(cost.price_disputed for _, cost in costs),
        contract_cost_in_cents=None if first.contract_cost_in_cents is None else contract,
    )


def _images(spent: Mapping[str, Any], usage: Mapping[str, Any]) -> Split | None:
    counts, model = usage.get("tool_call_counts"), spent.get("model")
    if not isinstance(counts, Mapping) or IMAGES not in counts or not isinstance(model, str):
        return None
    read, written = _part(spent, "input_tokens_details"), _part(spent, "output_tokens_details")
    drawn = {
        "prompt_tokens": spent.get("input_tokens"),
        "image_prompt_tokens": read.get("image_tokens"),
        "cached_tokens": spent.get("cached_tokens"),
        "completion_tokens": spent.get("output_tokens"),
        "image_completion_tokens": written.get("image_tokens", spent.get("output_tokens")),
    }
    others = {tool: count for tool, count in counts.items() if tool != IMAGES}
    is_exact = None not in (spent.get("cached_tokens"), read.get("image_tokens"), written.get("image_tokens"))
    return Split([Share(None, {**usage, "tool_call_counts": others}), Share(model, drawn)], is_exact)


def _iterations(rows: list[Mapping[str, Any]], usage: Mapping[str, Any]) -> Split | None:
    kinds = {row.get("type") for row in rows}
    if len(rows) == 1 and kinds <= {"message"}:
        return None  # the totals say the same
    asked = [Share(None, _tokens(row)) for row in rows if row.get("type") != "advisor_message"]
    if not asked:
        return None
    asked[0] = Share(None, {**asked[0].usage, "tool_call_counts": usage.get("tool_call_counts")})
    advisor = [Share(str(row.get("model")), _tokens(row)) for row in rows if row.get("type") == "advisor_message"]
    # What was declined before another model took over is not told apart, nor is what is unknown yet.
    return Split(asked + advisor, is_exact=kinds <= {"message", "compaction", "advisor_message"})


def _tokens(row: Mapping[str, Any]) -> dict[str, Any]:
    """One iteration: its input counts neither what was read from a cache nor what was written to one."""
    counts = [row.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    plain, read, written = (count if type(count) is int else 0 for count in counts)
    return {
        "prompt_tokens": plain + read + written,
        "cached_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": _part(row, "cache_creation").get("ephemeral_1h_input_tokens"),
        "completion_tokens": row.get("output_tokens"),
    }


def _part(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}
