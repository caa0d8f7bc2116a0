"""The least and the most that a call can cost, from its request body, before it is made. Budgets reserve the upper bound.

Nothing is tokenized. A token is at least one byte of UTF-8 and at most :data:`LONGEST_TOKEN`, so the text of the body bounds
the prompt from both sides; files, a conversation the provider holds and what its tools will read are bounded by the model's
context window. The completion is bounded by the body's own limit, else by the model's. What nothing bounds makes the upper
bound ``None``, and :attr:`Bounds.unbounded` says why; a caller that must have a bound says by :class:`Ceilings` what to take.

Amounts are priced as responses are, for each thing the tokens can turn out to be: plain, written to a cache, audio, images,
reasoning. The dearest of them counts, and of a marginal price the dearest of its rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from spectra_otel.pricing import bodies, places
from spectra_otel.pricing.calculate import Pricer, in_use, tier_name
from spectra_otel.pricing.cost import Cost, Priced
from spectra_otel.pricing.plan import Plan
from spectra_otel.pricing.shares import IMAGES
from spectra_otel.pricing.units import PARTS

LONGEST_TOKEN = 128
"""Bytes in the longest token of the public vocabularies (a run of spaces in o200k_base)."""
OVERHEAD = 1_000
"""Tokens that a provider may add to a request around its text: roles, separators, a prompt of its own, that for tools."""
TOOL_OVERHEAD = 4_000
"""Tokens by which a provider describes a tool of its own to the model (Anthropic's computer use, editors, tool search have
up to 1,600)."""
IMAGE_TOKENS = 50_000
"""One image in a prompt, by the dearest rule (OpenAI, "Images and vision": gpt-4o-mini, 2,833 + 5,667 for each of 8 tiles)."""
IMAGE_ANSWER_TOKENS = 16_384
"""One generated image that is billed by tokens (OpenAI's largest have 6,240)."""
LEAST_CEILING = 8_192
"""A limit of answers in the catalog below this is not relied on: lists have 4,096 for gpt-4, whose answers fill its window."""
LONG_CONTEXT = 1_048_576
"""The context window of models whose prices have a step at the end of the window that the catalog knows."""
DOCUMENT_TOKENS = 500
"""Rerankers split documents into parts of this many tokens, each billed as a document; a search is 100 documents (Cohere)."""
AUDIO_BYTES = 500
"""The least bytes of a second of audio: what speech codecs use is 750 and more."""
LARGEST_IMAGE = "2048x2048"
"""What models that are sold by megapixel make at most, where the body does not say."""

_INPUTS = {
    "cache_write": "cache_write_tokens", "cache_write_1h": "cache_write_1h_tokens", "audio_input": "audio_prompt_tokens",
    "image_input": "image_prompt_tokens",
}  # fmt: skip
_OUTPUTS = {
    "reasoning": "reasoning_tokens", "audio_output": "audio_completion_tokens", "image_output": "image_completion_tokens",
}  # fmt: skip
_NO_ANSWER = frozenset({"embedding", "rerank", "moderation"})


class Ceilings(NamedTuple):
    """What is taken where neither the body nor the catalog has a limit; ``None``: there is no upper bound then."""

    context: int | None = None
    output: int | None = None
    tool_calls: int | None = None
    pages: int | None = None


class Bounds(NamedTuple):
    """The least and the most a call can cost, in cents; ``None`` is not known.

    ``prompt_tokens`` and ``completion_tokens`` are the most there can be, ``text_bytes`` is what the body holds of text.
    ``unbounded`` says, in words, what has no upper bound; ``price_id`` and ``price_version`` are the price it was worked out
    with, ``None`` if the model has none.
    """

    lower_in_cents: Decimal | None = None
    upper_in_cents: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    text_bytes: int = 0
    unbounded: tuple[str, ...] = ()
    price_id: str | None = None
    price_version: str | None = None
    currency: str = "USD"

    @property
    def is_bounded(self) -> bool:
        """Whether the most a call can cost is known."""
        return self.upper_in_cents is not None


def estimate_request(
    provider: str,
    body: Mapping[str, Any],
    *,
    endpoint: str | None = None,
    at: date | None = None,
    model: str | None = None,
    tier: str | None = None,
    account: str | None = None,
    region: str | None = None,
    size: int = 0,
    output: int | None = None,
    ceilings: Ceilings = Ceilings(),  # noqa: B008 - it does not change
    with_pricer: Pricer | None = None,
) -> Bounds:
    """The least and the most a call with this request body can cost. Never raises for what a body holds.

    ``endpoint`` is the path of the call, for providers that have the model or a region in it (Gemini, Azure, Vertex);
    ``model`` and ``tier`` say theirs outright; ``account`` is the one at the provider, whose prices and aliases hold,
    ``region`` that of the host (``eu`` of ``eu.api.openai.com``).
    ``size`` is how many bytes are sent, for what the body does not show (a form with a recording). ``output`` takes the place
    of any limit of an answer's tokens. ``at`` is when the call is made (``None``: now). A model without a price has no bounds
    in money; a service tier without a price is bounded by the standard one.
    """
    prices = with_pricer or in_use()
    name = model or str(body.get("model") or body.get("modelId") or bodies.model_in(endpoint) or "")
    tier = tier_name(tier or bodies.word(body, "service_tier", "serviceTier", "speed") or "standard")
    call = _Call(prices, provider, name, at, account, body, size, output, ceilings, endpoint or "", region)
    most_tier = "standard" if tier == "flex" else tier  # a flex call may be served, and billed, as standard
    found = call.upper(most_tier)
    upper = None if call.unbounded else found.upper_in_cents
    return found._replace(
        lower_in_cents=call.lower(tier),
        upper_in_cents=upper,
        text_bytes=call.weight.text,
        unbounded=tuple(dict.fromkeys(call.unbounded)),
        price_version=prices.catalog.version,
        currency=prices.currency,
    )


class _Call:
    """What a request body says of the amounts a call can have, and what they cost."""

    def __init__(
        self,
        prices: Pricer,
        provider: str,
        model: str,
        at: date | None,
        account: str | None,
        body: Mapping[str, Any],
        size: int,
        output: int | None,
        ceilings: Ceilings,
        endpoint: str,
        region: str | None,
    ) -> None:
        self.prices, self.provider, self.model, self.at, self.account = prices, provider, model, at, account
        self.body, self.size, self.ceilings = body, size, ceilings
        self.premium = places.dearest(provider, model, body, endpoint, region)
        self.unbounded: list[str] = []
        match = prices.matcher.match(provider, model, account=account or "", at=at) if model else None
        self.limits = match.entry.limits if match else (None, None)
        self.kind = match.entry.model_type if match else "text"
        self.has_price = match is not None
        self.weight = bodies.weigh(body) if body else bodies.Weight(size, 0, 0)
        self.tools = dict(bodies.server_tools(body)) if "tools" in body or "web_search_options" in body else {}
        self.answers = bodies.answers(body)
        self.output = output if output is not None else bodies.output_limit(body)

    def upper(self, tier: str) -> Bounds:
        """The most tokens and money; adds to :attr:`unbounded` what has no limit."""
        priced = self._priced(tier)
        prompt, completion = self._most_prompt(priced), self._most_completion()
        if priced is None:
            return Bounds(prompt_tokens=prompt, completion_tokens=completion)
        priced = priced if self.premium is None else priced.times(self.premium)
        plan = priced.plan
        media = list(self._media(plan, most=True))
        costs: list[Cost] = [priced.cost(usage) for usage in media]
        total = max((cost.total_cost_in_cents or Decimal(0) for cost in costs), default=Decimal(0))
        if _is_sold_by_token(plan):
            found = self._most_of_tokens(priced.flat(dearest=True), prompt, 0 if media else completion)
            costs += found
            total += max(cost.prompt_cost_in_cents or Decimal(0) for cost in found)
            total += max(cost.completion_cost_in_cents or Decimal(0) for cost in found)
        elif not media and any(PARTS.get(meter.partition(" ")[0]) == "media" for meter in plan.rates):
            self.unbounded.append(f"the body does not say how much {self.kind} there will be")
        elif "request" in plan.rates and not media:
            costs.append(priced.cost({"prompt_tokens": 0}))
            total += costs[-1].total_cost_in_cents or 0
        total += self._most_of_tools(priced)
        return Bounds(None, total, prompt, completion, price_id=next((cost.price_id for cost in costs if cost), None))

    def lower(self, tier: str) -> Decimal | None:
        """The least it can cost: every prompt token cached and as long as tokens get, the shortest answer."""
        priced = self._found(tier)
        if priced is None:
            return None
        if _is_sold_by_token(priced.plan):
            priced = priced.flat(dearest=False)
            text = self.weight.text if self.body else min(self.size, 1)  # what is sent may be no text
            tokens = max(1, text // LONGEST_TOKEN) if text else 0
            usages = [
                {"prompt_tokens": tokens, "completion_tokens": 0, **more} for more in ({}, {"cached_tokens": tokens})
            ]
        else:
            usages = list(self._media(priced.plan, most=False))
        costs = [cost for usage in usages if (cost := priced.cost(usage).total_cost_in_cents) is not None]
        return min(costs, default=Decimal(0))

    def _found(self, tier: str) -> Priced | None:
        return self.prices.priced(self.provider, self.model, pricing_tier=tier, at=self.at, account=self.account)

    def _priced(self, tier: str) -> Priced | None:
        if not self.has_price:
            self.unbounded.append(f"no price is known for {self.provider}/{self.model}")
            return None
        priced = self._found(tier)
        if priced is None:
            self.unbounded.append("the model had no price then")
        return priced

    def _most_prompt(self, priced: Priced | None) -> int | None:
        """The most tokens of the prompt: those of the text, or the whole window for what is elsewhere or no text."""
        context = self.limits[0]
        if priced is not None and context is not None:
            steps = [start for rate in priced.plan.rates.values() for start, _ in rate.steps]
            context = LONG_CONTEXT if steps and max(steps) >= context else context
        most = context or self.ceilings.context
        refers = bodies.refers_elsewhere(self.body)
        is_list = self.kind in _NO_ANSWER  # of texts, each with a window of its own
        if refers or self.tools or (self.weight.files and not (is_list and most)):
            return most
        text = (
            max(self.weight.text, self.size if self.kind == "stt" else 0)
            + OVERHEAD
            + bodies.built_in_tools(self.body) * TOOL_OVERHEAD
            + self.weight.images * IMAGE_TOKENS
        )
        if self.kind == "rerank":  # every document is read with the query
            query, documents = self._ranked
            text += query * len(documents)
        if context is None or is_list:
            return text + self.weight.files * (most or 0)
        return min(text, context * bodies.prompts(self.body))

    def _most_completion(self) -> int | None:
        if self.kind in _NO_ANSWER:
            return 0
        if self.output is not None:
            return self.output * self.answers
        known, context = self.limits[1], self.limits[0]
        ceiling = self.ceilings.output
        if known:
            ceiling = max(known, LEAST_CEILING)
        elif self.kind == "image":
            ceiling = IMAGE_ANSWER_TOKENS
        elif ceiling and context:
            ceiling = min(ceiling, context)
        return ceiling * self.answers if ceiling else None

    def _most_of_tokens(self, priced: Priced, prompt: int | None, completion: int | None) -> list[Cost]:
        """The cost of the most tokens, once for each thing they can turn out to be."""
        plan = priced.plan
        if prompt is None:
            self.unbounded.append("what is no text in the prompt, and the model's context window is not known")
            prompt = 0
        answers = [meter for meter in ("output", *_OUTPUTS) if meter in plan.rates and plan.rates[meter].pico]
        if completion is None and answers:
            self.unbounded.append("neither the body nor the catalog limits the answer's tokens")
        completion = completion if completion is not None and answers else 0
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        usages = [usage]
        if prompt:
            usages += [usage | written for written in self._inputs(plan, prompt)]
        if completion:
            usages += [usage | {name: completion} for meter, name in _OUTPUTS.items() if meter in plan.rates]
        return [priced.cost(one) for one in usages]

    def _inputs(self, plan: Plan, prompt: int) -> Iterator[dict[str, int]]:
        """What a prompt can be but plain text: written to a cache, where the body or else the provider says so; sound, images."""
        is_asked = "cache_write_1h" not in plan.rates or bodies.cache_writes(self.body)
        for meter in plan.rates.keys() & _INPUTS.keys():
            if meter in ("audio_input", "image_input"):
                if self.weight.images or self.weight.files or self.kind == "stt":
                    yield {_INPUTS[meter]: prompt}
            elif is_asked:
                hour = {"cache_write_tokens": prompt} if meter == "cache_write_1h" else {}
                yield {_INPUTS[meter]: prompt, **hour}

    def _most_of_tools(self, priced: Priced) -> Decimal:
        total = Decimal(0)
        tools = self.tools
        if self.provider == "openai" and "-search-" in self.model:
            tools = tools | {"web_search": 1}  # these search before they answer, once
        if "tool.citation_tokens" in priced.plan.rates:
            self.unbounded.append("the model searches and reads as much as it likes")
        self.unbounded += bodies.billed_apart(self.body)
        for tool, said in tools.items():
            rate = priced.plan.tool_rate(tool)
            most = said if said is not None else self.ceilings.tool_calls
            if rate is None and tool == IMAGES:
                self.unbounded.append("images are drawn by a model of its own")
            if rate is None or not rate.pico:
                continue
            if most is None:
                self.unbounded.append(f"the body does not limit how often {tool} is used")
            else:
                total += priced.cost({"tool_call_counts": {tool: most}}).tool_cost_in_cents or 0
        return total

    def _media(self, plan: Plan, *, most: bool) -> Iterator[dict[str, Any]]:
        """The usage of what is sold by the piece, once for each size and quality that the body leaves open."""
        if self.kind == "image":
            yield from self._images(plan, most)
        elif self.kind == "video":
            yield from self._videos(plan)
        elif self.kind == "tts" and "character" in plan.rates:
            said = self.body.get("input") or self.body.get("text") or ""
            yield {"input_characters": sum(map(len, bodies.texts(said)))}
        elif self.kind == "stt" and "audio_second" in plan.rates and self._has_recording:
            yield {"duration_seconds": -(-self.size // AUDIO_BYTES) if most else 0}
        elif self.kind == "ocr" and "page" in plan.rates:
            said = self.body.get("pages")
            pages = len(said) if isinstance(said, list) else self.ceilings.pages
            if pages or not most:
                pages = pages if most else 1
                yield {
                    "pages": pages,
                    "tool_call_counts": {"annotation": pages} if bodies.annotates(self.body) else None,
                }
        elif self.kind == "rerank" and "search" in plan.rates:
            yield {"search_units": self._searches(most)}

    @property
    def _has_recording(self) -> bool:
        """Whether the recording is in the request, and not at an address."""
        return bool(self.size and (not self.body or self.weight.uploads))

    def _images(self, plan: Plan, most: bool) -> Iterator[dict[str, Any]]:
        said = bodies.size(self.body), bodies.word(self.body, "quality")
        for size, _ in _variants(plan, "megapixel", said[0]):
            yield {"image_count": self.answers, "image_size": size if "x" in size else LARGEST_IMAGE if most else "1x1"}
        for size, quality in _variants(plan, "image", *said):
            yield {"image_count": self.answers, "image_size": size, "image_quality": quality}

    def _videos(self, plan: Plan) -> Iterator[dict[str, Any]]:
        names = ("seconds", "duration", "duration_seconds", "durationSeconds", "video_length")
        if seconds := bodies.number(self.body, *names):
            for resolution, _ in _variants(plan, "video_second", bodies.word(self.body, "size", "resolution")):
                yield {"duration_seconds": seconds * self.answers, "video_resolution": resolution}
        if "video" in plan.rates:
            yield {"video_count": self.answers}

    @property
    def _ranked(self) -> tuple[int, Sequence[Any]]:
        """The bytes of the query, and the documents."""
        said = self.body.get("documents") or self.body.get("texts")
        query = len(str(self.body.get("query") or "").encode("utf-8", "surrogatepass"))
        return query, said if isinstance(said, list | tuple) else ()

    def _searches(self, most: bool) -> int:
        query, documents = self._ranked
        sizes = [sum(len(text.encode("utf-8", "surrogatepass")) for text in bodies.texts(one)) for one in documents]
        parts = sum(max(1, -(-(size + query) // DOCUMENT_TOKENS)) for size in sizes) if most else len(sizes)
        return max(1, -(-parts // 100))


def _is_sold_by_token(plan: Plan) -> bool:
    return "input" in plan.rates or "output" in plan.rates


def _variants(plan: Plan, meter: str, *said: str) -> Iterator[tuple[str, str]]:
    """The (size, quality) of the rates of a meter that a body can mean: what it says, and all where that has no rate."""
    words = [word for word in said if word]
    of_meter = [name.split(" ")[1:] for name in plan.rates if name.partition(" ")[0] == meter]
    meant = [name for name in of_meter if all(word in name for word in words)]
    for name in meant or of_meter:
        first, second, *_ = (*name, "", "")
        yield first or said[0], second or (said[-1] if not name else "")
