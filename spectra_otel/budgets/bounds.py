"""What a call draws on a budget before it is made: the upper bound of :func:`pricing.estimate_request`, with ceilings for all.

Sound, not typical: a token is at least a byte of the body's text, and what the body only refers to (a file, an earlier
conversation, what a search will find) is a whole context window. ``max_tokens`` in the request makes a bound narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from spectra_otel import pricing
from spectra_otel.budgets.amounts import MOST_UNITS, Amount, units
from spectra_otel.pricing import bodies

Json = Mapping[str, Any]

CEILINGS = pricing.Ceilings(context=1_048_576, output=131_072, tool_calls=10, pages=1_000)
"""What is reserved where neither the request nor the catalog has a limit. An answer of 131,072 tokens is more than OpenAI,
Anthropic and Google publish as the most of any model (128,000, 128,000 and 65,536); ten calls of a tool that the provider runs;
1,000 pages are the most that Mistral reads in a document."""
STREAM_STEP = 4_096
"""Tokens of output by which the lease of a stream without a limit grows."""
CHARACTERS_PER_TOKEN = 4
"""Of usual text: what a call is charged for its prompt where nobody knows what became of it."""
_CHEAPER_TIERS = frozenset({"flex", "batch"})
"""A call that asks for one of them may be served, and billed, as a standard one."""
_NO_ANSWER = frozenset({"embedding", "rerank", "moderation"})
_MILLION = 1_000_000
_LIMITS = (*bodies.OUTPUT_LIMITS, "maxTokenCount")
_PLACES = (
    "generationConfig", "generation_config", "inferenceConfig", "textGenerationConfig", "options", "parameters", "config",
    "input",
)  # fmt: skip
LEAST_FIT = 16
"""An answer is not cut down to fewer tokens than this."""


class Bound(NamedTuple):
    """``amount`` is the most the call can take, ``floor`` what it takes if its answer never comes: its input, at a usual length.

    Where there is no bound in money ``unpriced`` says why (``amount.cost`` is 0 then). ``output`` is how many tokens of an
    answer the amount holds; ``grows`` says that a stream may go beyond, so that its lease must be extended on the way.
    """

    amount: Amount = Amount()
    floor: Amount = Amount()
    unpriced: str = ""
    output: int = 0
    grows: bool = False


class Request(NamedTuple):
    """What bounds look at. ``size`` is the body's in bytes (0: not known), ``account`` is the provider's, ``endpoint`` a path,
    ``region`` that of the host."""

    provider: str
    model: str
    model_type: str
    tier: str
    body: Json
    size: int
    account: str = ""
    endpoint: str = ""
    region: str | None = None


def upper_bound(request: Request, *, cap: int | None = None) -> Bound:
    """The bound of a call. ``cap`` takes the place of its own limit of an answer's tokens."""
    provider, model, model_type, tier, body, size, account, endpoint, region = request
    if tier in _CHEAPER_TIERS:
        tier = "standard"
    grows = cap is None and body.get("stream") is True and bodies.output_limit(body) is None
    output = 0 if model_type in _NO_ANSWER else STREAM_STEP if grows else cap
    found = pricing.estimate_request(
        provider, body, endpoint=endpoint, model=model, tier=tier, account=account, region=region, size=size,
        output=output, ceilings=CEILINGS,
    )  # fmt: skip
    prompt, completion = found.prompt_tokens or 0, found.completion_tokens or 0
    usual = min(prompt, found.text_bytes // CHARACTERS_PER_TOKEN + 1)
    if found.upper_in_cents is None:
        cost = floor = 0
    else:
        cost = min(units(found.upper_in_cents), MOST_UNITS // 4)
        floor = min(cost, _cost(provider, model, tier, usual, 0, account, _place(request)))
    return Bound(
        Amount(cost, prompt + completion, 1),
        Amount(floor, usual, 1),
        "; ".join(found.unbounded) if found.upper_in_cents is None else "",
        completion // bodies.answers(body),
        grows,
    )


def unsaid(request: Request, grows: bool) -> Bound:
    """The bound of a call by hand about which nothing is said: one request, and the least of money and tokens.

    It keeps a place, and finds none where nothing is left; what such a call takes beyond it is overshoot. ``grows``: the call
    will tell what it delivers.
    """
    priced = not request.model or pricing.in_use().priced(
        request.provider, request.model, pricing_tier=request.tier, account=request.account
    )
    reason = "" if priced else f"no price is known for {request.provider}/{request.model}"
    return Bound(Amount(1, 1, 1), Amount(0, 0, 1), reason, 0, grows)


def highest_rates(request: Request, bound: Bound) -> Amount:
    """The amount of a call that has no price of its own, at the dearest rates any model of its provider has."""
    prompt, completion = _dearest(pricing.in_use(), request.provider)
    output = bound.output * bodies.answers(request.body)
    cost = ((bound.amount.tokens - output) * prompt + output * completion) // _MILLION + 1
    return bound.amount._replace(cost=min(cost, MOST_UNITS // 4))


def with_output_limit(body: Json, tokens: int, provider: str) -> dict[str, Any]:
    """The body with its output limited to so many tokens: wherever it names a limit, else where its provider reads one.

    Where nobody knows that place the body is as it was.
    """
    inner = {place: body[place] for place in _PLACES if isinstance(body.get(place), Mapping)}
    limited = {place: _limited(what, tokens) for place, what in inner.items() if any(name in what for name in _LIMITS)}
    if limited or any(name in body for name in _LIMITS):
        return {**_limited(body, tokens), **limited}
    is_openai = "messages" in body and provider in ("openai", "azure")
    return {**body, **_new_limit(body, tokens, provider, "max_completion_tokens" if is_openai else "max_tokens")}


def _limited(body: Json, tokens: int) -> dict[str, Any]:
    return {name: tokens if name in _LIMITS else value for name, value in body.items()}


def _new_limit(body: Json, tokens: int, provider: str, usual: str) -> dict[str, Any]:
    def inside(place: str, name: str) -> dict[str, Any]:
        inner = body.get(place)
        return {place: {**(inner if isinstance(inner, Mapping) else {}), name: tokens}}

    if provider in ("google", "vertex") and ("generation_config" in body or "input" in body):
        return inside("generation_config", "max_output_tokens")
    if "contents" in body or "generationConfig" in body:
        return inside("generationConfig", "maxOutputTokens")
    if provider == "bedrock" and "inputText" in body:
        return inside("textGenerationConfig", "maxTokenCount")
    if provider == "bedrock" and "anthropic_version" not in body:
        return inside("inferenceConfig", "maxTokens")
    if provider == "ollama":  # its own API and the one of OpenAI's kind ignore what the other reads
        return {usual: tokens, **inside("options", "num_predict")}
    if "input" in body:
        return {} if isinstance(body["input"], Mapping) else {"max_output_tokens": tokens}
    return {usual: tokens}


def least_output(body: Json) -> int:
    """The fewest tokens that an answer can be cut down to: it must be longer than the thoughts that are asked for."""
    thinking = body.get("thinking")
    asked = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return max(LEAST_FIT, asked + 1 if isinstance(asked, int) else 0)


def _place(request: Request) -> Json:
    """Where the call runs, as its record will have it."""
    region = request.region or request.body.get("inference_geo")
    return {"endpoint": request.endpoint, **({"usage_raw": {"inference_geo": region}} if region else {})}


def _cost(
    provider: str, model: str, tier: str, prompt: int, completion: int, account: str = "", place: Json | None = None
) -> int:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **(place or {})}
    cost = pricing.calculate(provider, model, usage, pricing_tier=tier, account=account).total_cost_in_cents
    return units(cost) if cost is not None else 0


@lru_cache(maxsize=64)
def _dearest(prices: pricing.Pricer, provider: str) -> tuple[int, int]:
    """Units for a million tokens, read and written, of the dearest model there is; OpenAI's stand in where none has a price."""
    models = {entry.model for entry in prices.catalog.entries(provider) if entry.model_type == "text"}
    costs = [
        (_cost(provider, model, "standard", _MILLION, 0), _cost(provider, model, "standard", 0, _MILLION))
        for model in models
    ]
    if not costs:
        return _dearest(prices, "openai")
    return max(prompt for prompt, _ in costs), max(completion for _, completion in costs)
