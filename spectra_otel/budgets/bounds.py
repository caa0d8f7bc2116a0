"""The most a call can cost, before it is made: worst-case input, the output it may ask for, at the dearest rates that can hold.

Sound, not typical: a token is at least a byte of the body, and what the body only refers to (a file, an earlier conversation,
what a search will find) is a whole context window. ``max_tokens`` in the request makes a bound narrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from spectra_otel import pricing
from spectra_otel.budgets.amounts import MOST_UNITS, Amount, units

Json = Mapping[str, Any]

OUTPUT_KEYS = ("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample")
"""Where a request limits its output, in the order in which providers obey them."""
CEILINGS: tuple[tuple[str, int], ...] = (
    (r"gpt-4o|gpt-4-turbo-2024|gpt-realtime", 16_384),
    (r"gpt-4\.1", 32_768),
    (r"gpt-3\.5|gpt-4-turbo|gpt-4(?:-|$)", 8_192),
    (r"^o\d|codex", 100_000),
    (r"gpt-5", 128_000),
    (r"claude-(?:2|3-opus|3-haiku|3-sonnet|instant)", 4_096),
    (r"claude-3-5", 8_192),
    (r"claude-(?:3-7|opus-4|sonnet-4|haiku-4|.*-4)", 128_000),
    (r"gemini-1|gemini-2\.0", 8_192),
    (r"gemini", 65_536),
)
"""Model → most tokens of an answer; the first that matches counts. Not checked against the providers' pages: err high."""
CEILING = 131_072
"""The same for models not named above."""
CONTEXT = 1_048_576
"""The longest context window: what a request can read that refers to something elsewhere."""
MEDIA_TOKENS = 50_000
"""One image, by the dearest rule there is (OpenAI, "Images and vision": gpt-4o-mini, 2,833 + 5,667 a tile)."""
IMAGE_OUTPUT_TOKENS = 16_384
"""One generated image that is billed by tokens."""
TOOL_CALLS = 10
"""Server-side tool calls of a request that does not limit them."""
STREAM_STEP = 4_096
"""Tokens of output by which the lease of a stream without a limit grows."""
CHARACTERS_PER_TOKEN = 4
_REFERENCES = frozenset(
    {"previous_response_id", "conversation", "cachedContent", "cached_content", "file_id", "file_ids", "fileData", "file_data"}
)  # fmt: skip
_MEDIA = frozenset({"image_url", "input_image", "image", "inlineData", "inline_data", "input_audio", "source"})
_TOOLS: Mapping[str, str] = {
    "web_search": "web_search", "web_fetch": "web_fetch", "code_interpreter": "code_interpreter", "file_search": "file_search",
    "image_generation": "image_generation", "google_search": "grounding", "googleSearch": "grounding",
    "google_maps": "maps", "googleMaps": "maps", "mcp": "mcp",
}  # fmt: skip
"""A tool's type in a request (its beginning) → the record's name for what is billed."""


class Bound(NamedTuple):
    """``amount`` is the most the call can take, ``floor`` what it takes if its answer never comes: its input, at a usual length.

    ``is_priced`` is False where no price is known (``amount.cost`` is 0 then). ``output`` is how many tokens of output the amount
    holds; ``grows`` says that a stream may go beyond, so that its lease must be extended on the way.
    """

    amount: Amount
    floor: Amount
    is_priced: bool
    output: int
    grows: bool


class Request(NamedTuple):
    """What bounds look at. ``size`` is the body's in bytes (0: not known)."""

    provider: str
    model: str
    model_type: str
    tier: str
    body: Json
    size: int


class _Shape:
    """What a body refers to."""

    __slots__ = ("data", "has_audio", "has_cache", "has_hour_cache", "media", "references")

    def __init__(self) -> None:
        self.references = self.has_cache = self.has_hour_cache = self.has_audio = False
        self.media = 0
        self.data = 0

    def look(self, value: Any, key: str = "") -> None:
        """Walk through a body."""
        if isinstance(value, dict):
            if key in _MEDIA or value.get("type") in _MEDIA:
                self.media += 1
            for name, item in value.items():
                if name == "cache_control":
                    self.has_cache = True
                    self.has_hour_cache |= isinstance(item, dict) and item.get("ttl") == "1h"
                elif name in _REFERENCES and item:
                    self.references = True
                elif name == "input_audio" or (name in ("mimeType", "mime_type") and "audio" in str(item)):
                    self.has_audio = True
                self.look(item, name)
        elif isinstance(value, list):
            for item in value:
                self.look(item, key)
        elif isinstance(value, str) and (key == "data" or value.startswith("data:")):
            self.data += len(value)
            self.references |= "pdf" in value[:64]


def upper_bound(request: Request, *, cap: int | None = None) -> Bound:
    """The bound of a call. ``cap`` is used as its limit of output where it has a higher one or none."""
    body = request.body
    shape = _Shape()
    shape.look(body)
    output, grows = _output_tokens(request)
    if cap is not None and cap < output:
        output, grows = cap, False
    choices = _count(body, ("n", "candidateCount", "best_of")) or _count(
        body.get("generationConfig"), ("candidateCount",)
    )
    prompt = _prompt_tokens(request, shape)
    completion = output * max(1, choices or 1)
    usage = _usage(request, shape, prompt, completion)
    cost = _dearest(request, usage)
    floor_tokens = min(prompt, max(0, request.size - shape.data) // CHARACTERS_PER_TOKEN + 1)
    floor_cost = _price(request, {"prompt_tokens": floor_tokens, "completion_tokens": 0}, request.tier)
    return Bound(
        Amount(0 if cost is None else min(units(cost), MOST_UNITS // 4), prompt + completion, 1),
        Amount(units(floor_cost) if floor_cost is not None and cost is not None else 0, floor_tokens, 1),
        cost is not None,
        output,
        grows,
    )


def highest_rates(request: Request, bound: Bound) -> Amount:
    """The amount of a call that has no price of its own, at the dearest rates any text model of its provider has."""
    pricer = pricing.pricer()
    usage = {"prompt_tokens": bound.amount.tokens - bound.output, "completion_tokens": bound.output}
    costs = [
        cost
        for entry in pricer.catalog.entries(request.provider)
        if (cost := pricer.calculate(request.provider, entry.model, usage).total_cost_in_cents) is not None
    ] or [
        cost
        for entry in pricer.catalog.entries("openai")
        if (cost := pricer.calculate("openai", entry.model, usage).total_cost_in_cents) is not None
    ]
    return bound.amount._replace(cost=min(units(max(costs)), MOST_UNITS // 4))


def with_output_limit(body: Json, tokens: int, provider: str) -> dict[str, Any]:
    """The body with its output limited to so many tokens, in the place where its provider reads it."""
    if "contents" in body:
        config = dict(body.get("generationConfig") or {})
        return {**body, "generationConfig": {**config, "maxOutputTokens": tokens}}
    key = next((key for key in OUTPUT_KEYS if key in body), None)
    if key is None:
        key = "max_output_tokens" if "input" in body else "max_tokens"
        if "messages" in body and provider in ("openai", "azure"):
            key = "max_completion_tokens"
    return {**body, key: tokens}


def _output_tokens(request: Request) -> tuple[int, bool]:
    body = request.body
    if request.model_type in ("embedding", "rerank", "moderation", "tts", "stt"):
        return 0, False
    if request.model_type == "image":
        return 0, False
    said = _count(body, OUTPUT_KEYS) or _count(body.get("generationConfig"), ("maxOutputTokens", "max_output_tokens"))
    if said is None:
        said = _count(body.get("options"), ("num_predict",))
    if said is not None:
        return said, False
    ceiling = next((most for pattern, most in CEILINGS if re.search(pattern, request.model)), CEILING)
    if body.get("stream") is True:
        return min(STREAM_STEP, ceiling), True
    return ceiling, False


def _prompt_tokens(request: Request, shape: _Shape) -> int:
    if shape.references or any(_tools(request.body)):
        return CONTEXT
    size = request.size or len(str(request.body))
    return max(0, size - shape.data) + min(shape.data, shape.media * MEDIA_TOKENS) + shape.media * MEDIA_TOKENS


def _usage(request: Request, shape: _Shape, prompt: int, completion: int) -> dict[str, Any]:
    body = request.body
    if request.model_type == "image":
        count = _count(body, ("n",)) or 1
        return {
            "prompt_tokens": prompt,
            "completion_tokens": count * IMAGE_OUTPUT_TOKENS,
            "image_completion_tokens": count * IMAGE_OUTPUT_TOKENS,
            "image_count": count,
            "image_size": body.get("size"),
            "image_quality": body.get("quality"),
        }
    if request.model_type == "tts":
        return {"input_characters": len(str(body.get("input") or body.get("text") or ""))}
    if request.model_type == "stt":
        return {"duration_seconds": float(request.size) / 500 + 1}
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    if shape.has_audio:
        usage["audio_prompt_tokens"] = prompt
    elif shape.has_cache:
        usage["cache_write_tokens"] = prompt
        if shape.has_hour_cache:
            usage["cache_write_1h_tokens"] = prompt
    if "audio" in (body.get("modalities") or ()):
        usage["audio_completion_tokens"] = completion
    if tools := dict(_tools(body)):
        usage["tool_call_counts"] = tools
    return usage


def _dearest(request: Request, usage: dict[str, Any]) -> Decimal | None:
    """At the tier asked for and at the standard one, with all output as reasoning and with none: the dearest of them."""
    readings = [usage]
    if (
        usage.get("completion_tokens")
        and "image_completion_tokens" not in usage
        and "audio_completion_tokens" not in usage
    ):
        readings.append({**usage, "reasoning_tokens": usage["completion_tokens"]})
    if "cache_write_tokens" in usage:
        readings.append({name: count for name, count in usage.items() if not name.startswith("cache_")})
    tiers = dict.fromkeys((request.tier, "standard"))
    costs = [cost for tier in tiers for one in readings if (cost := _price(request, one, tier)) is not None]
    return max(costs, default=None)


def _price(request: Request, usage: Mapping[str, Any], tier: str) -> Decimal | None:
    found: Decimal | None = (
        pricing.pricer().calculate(request.provider, request.model, usage, pricing_tier=tier).total_cost_in_cents
    )
    return found


def _tools(body: Json) -> Iterator[tuple[str, int]]:
    """Server-side tools of a request, and how often they may run."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        kind = str(tool.get("type") or next(iter(tool), ""))
        for start, name in _TOOLS.items():
            if kind.startswith(start):
                yield name, _count(tool, ("max_uses",)) or TOOL_CALLS
    if isinstance(body.get("web_search_options"), dict):
        yield "web_search", TOOL_CALLS


def _count(body: Any, keys: tuple[str, ...]) -> int | None:
    if not isinstance(body, Mapping):
        return None
    return next((body[key] for key in keys if type(body.get(key)) is int and body[key] >= 0), None)
