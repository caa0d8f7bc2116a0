"""The least and the most that a call can cost, from its request body, before it is made. Budgets reserve the upper bound.

Nothing is tokenized. A token is at least one byte of UTF-8 and at most :data:`LONGEST_TOKEN`, so the text of the body bounds
the prompt from both sides; what is no text (images, audio, files, a conversation the provider holds) is bounded by the model's
context window. The completion is bounded by the body's own limit, else by the model's. What nothing bounds makes the upper
bound ``None``, and :attr:`Bounds.unbounded` says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from spectra_otel.pricing.calculate import Pricer, pricer, tier_name
from spectra_otel.pricing.catalog import Entry, utc
from spectra_otel.pricing.units import PARTS, Rate, parse_rate

LONGEST_TOKEN = 128
"""Bytes in the longest token of the public vocabularies (a run of spaces in o200k_base)."""
OVERHEAD = 1_000
"""Tokens that a provider may add to a request around its text: roles, separators, its own prompt for tools."""
DOCUMENT_TOKENS = 500
"""Rerankers split documents into parts of this many tokens, each billed as a document; a search is 100 documents (Cohere)."""

_PLAIN_INPUT = ("input", "cache_read", "cache_write", "cache_write_1h")
_INPUT = (*_PLAIN_INPUT, "audio_input", "image_input", "audio_cache_read", "image_cache_read")
_OUTPUT = ("output", "reasoning", "audio_output", "image_output")
_LIMITS = (
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "maxOutputTokens",
    "maxTokens",
    "max_tokens_to_sample",
)
_ANSWERS = ("n", "candidateCount", "candidate_count", "sampleCount", "num_images", "num_outputs", "numberOfImages")
_HELD = ("previous_response_id", "conversation", "cachedContent", "prompt", "container")
"""Fields by which a provider adds to the prompt what the body does not hold (`prompt`: where it is a mapping, a stored one)."""
_BINARY = ("image", "audio", "file", "video", "document", "input_image", "input_audio", "input_file", "image_url", "inlineData",
           "inline_data", "fileData", "file_data")  # fmt: skip
_CODES = ("data", "b64_json", "bytes", "url", "image_url", "file_data", "input_image")
_scaleb = Context(prec=60).scaleb


class Bounds(NamedTuple):
    """The least and the most a call can cost, in cents; ``None`` is not known.

    ``prompt_tokens`` and ``completion_tokens`` are the most there can be. ``unbounded`` says, in words, what has no upper bound;
    ``price_id`` and ``price_version`` are the price it was worked out with, ``None`` if the model has none.
    """

    lower_in_cents: Decimal | None = None
    upper_in_cents: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
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
    with_pricer: Pricer | None = None,
) -> Bounds:
    """The least and the most a call with this request body can cost. Never raises for what a body holds.

    ``endpoint`` is the path of the call, for providers that have the model in it (Gemini, Bedrock, Azure); ``model`` says it
    outright. ``at`` is when the call is made (``None``: now). A model without a price has no bounds; a service tier without a
    price is bounded by the standard one.
    """
    prices = with_pricer or pricer()
    name = model or str(body.get("model") or body.get("modelId") or _model_in(endpoint) or "")
    found = prices.matcher.match(provider, name) if name else None
    if found is None:
        return Bounds(unbounded=(f"no price is known for {provider}/{name}",), price_version=prices.catalog.version)
    moment, tier = utc(at), tier_name(_text(body, "service_tier", "serviceTier", "speed") or "standard")
    terms = prices.terms(
        found.entry, "standard" if tier == "flex" else tier, moment
    )  # a flex call may be served as standard
    cheapest = prices.terms(found.entry, tier, moment)
    if terms is None or cheapest is None:
        return Bounds(unbounded=("the model had no price then",), price_version=prices.catalog.version)
    request = _Request(found.entry, body)
    most = {meter: parse_rate(meter.partition(" ")[0], text) for meter, text in terms.rates.items()}
    least = {meter: parse_rate(meter.partition(" ")[0], text) for meter, text in cheapest.rates.items()}
    upper = request.upper(most)
    return Bounds(
        _cents(floor(request.lower(least))),
        None if request.unbounded else _cents(ceil(upper)),
        request.most_prompt,
        request.most_completion,
        tuple(request.unbounded),
        terms.price_id,
        prices.catalog.version,
    )


class _Request:
    """What a request body says of the amounts a call can have."""

    def __init__(self, entry: Entry, body: Mapping[str, Any]) -> None:
        self.kind = entry.model_type
        self.body = body
        self.unbounded: list[str] = []
        self.text_bytes, self.binaries = _weigh(body)
        context, output = entry.limits
        self.answers = max(1, _number(body, *_ANSWERS) or 1)
        held = [name for name in _HELD if isinstance(body.get(name), Mapping) or (name != "prompt" and body.get(name))]
        self.whole_context = bool(self.binaries or held)
        self.most_prompt = self.text_bytes + OVERHEAD if not self.whole_context else context
        if context is not None and self.most_prompt is not None and not held:
            self.most_prompt = min(self.most_prompt, context)
        limit = _number(body, *_LIMITS)
        limits = [tokens for tokens in (limit, output) if tokens]
        self.most_completion = min(limits) * self.answers if limits else None
        self.tools = dict(_server_tools(body))

    def lower(self, rates: Mapping[str, Rate]) -> Fraction:
        """The least it can cost, in 1e-8 cents: every prompt token cached and as long as tokens get, the shortest answer."""
        if self._sold_by_token(rates):
            tokens = max(1, self.text_bytes // LONGEST_TOKEN) if self.text_bytes else 0
            return tokens * _least(rates, _PLAIN_INPUT, tokens)
        amounts = self._media_amounts(rates, most=False)
        return sum((_least_of(_variants(rates, meter), n) for meter, n in amounts.items()), Fraction(0))

    def upper(self, rates: Mapping[str, Rate]) -> Fraction:
        """The most it can cost, in 1e-8 cents; adds to :attr:`unbounded` what has no limit."""
        amounts = self._media_amounts(rates, most=True)
        total = sum((_most_of(_variants(rates, meter), n) for meter, n in amounts.items()), Fraction(0))
        if self._sold_by_token(rates):
            total += self._most_of_tokens(rates, answer=not amounts)  # an image's price is that of its tokens
        elif not amounts and any(part == "media" for part in map(_part, rates)):
            self.unbounded.append(f"the body does not say how much {self.kind} there will be")
        if "request" in rates:
            total += rates["request"].units(1)
        return total + self._most_of_tools(rates)

    def _sold_by_token(self, rates: Mapping[str, Rate]) -> bool:
        return "input" in rates or "output" in rates

    def _most_of_tokens(self, rates: Mapping[str, Rate], *, answer: bool) -> Fraction:
        if self.most_prompt is None:
            self.unbounded.append("what is no text in the prompt, and the model's context window is not known")
            return Fraction(0)
        total = self.most_prompt * _dearest(rates, _INPUT if self.whole_context else _PLAIN_INPUT, self.most_prompt)
        sold = [meter for meter in _OUTPUT if meter in rates and rates[meter].pico]
        if not answer or not sold or self.kind in ("embedding", "rerank", "moderation"):
            return total
        if self.most_completion is None:
            self.unbounded.append("neither the body nor the catalog limits the answer's tokens")
            return total
        return total + self.most_completion * _dearest(rates, _OUTPUT, self.most_prompt)

    def _most_of_tools(self, rates: Mapping[str, Rate]) -> Fraction:
        total = Fraction(0)
        for tool, most in self.tools.items():
            rate = rates.get(f"tool.{tool}")
            if rate is None or not rate.pico:
                continue
            if most is None:
                self.unbounded.append(f"the body does not limit how often {tool} is used")
            else:
                total += rate.units(most)
        return total

    def _media_amounts(self, rates: Mapping[str, Rate], *, most: bool) -> dict[str, Fraction]:
        """How much of a meter there is, by meter with its size, quality or resolution; of the meters that have a price."""
        body, amounts = self.body, dict[str, Fraction]()
        seconds = _number(body, "seconds", "duration", "duration_seconds", "durationSeconds", "video_length")
        characters = sum(len(text) for text in _texts(body.get("input") or body.get("text") or ""))
        if self.kind == "image":
            images = Fraction(self.answers)
            for meter in ("megapixel", "image"):
                if _variants(rates, meter):
                    amounts[" ".join((meter, *self._image_words()))] = images
                    break
        elif self.kind == "video":
            if seconds and _variants(rates, "video_second"):
                amounts[" ".join(("video_second", *self._words("size", "resolution")))] = Fraction(
                    seconds * self.answers
                )
            elif _variants(rates, "video"):
                amounts["video"] = Fraction(self.answers)
        elif self.kind == "tts" and _variants(rates, "character"):
            amounts["character"] = Fraction(characters)
        elif self.kind == "rerank" and _variants(rates, "search"):
            documents = body.get("documents") or body.get("texts") or ()
            sizes = [sum(len(text.encode()) for text in _texts(document)) for document in documents]
            query = len(str(body.get("query") or "").encode())
            parts = sum(max(1, -(-(size + query) // DOCUMENT_TOKENS)) for size in sizes) if most else len(sizes)
            amounts["search"] = Fraction(max(1, -(-parts // 100)))
        return amounts

    def _image_words(self) -> tuple[str, ...]:
        size, quality = self._words("size", "image_size", "imageSize"), self._words("quality")
        return (*size, *quality)

    def _words(self, *names: str) -> tuple[str, ...]:
        for name in names:
            value = self.body.get(name)
            if isinstance(value, str) and value.lower() != "auto":
                return (value.lower().replace(" ", "-"),)
        return ()


def _variants(rates: Mapping[str, Rate], wanted: str) -> list[Rate]:
    """The rates that ``wanted`` (a meter and words such as a size) can mean: those with all its words, else all of the meter."""
    meter, *words = wanted.split(" ")
    of_meter = {name: rate for name, rate in rates.items() if name.partition(" ")[0] == meter}
    exact = [rate for name, rate in of_meter.items() if all(word in name.split(" ")[1:] for word in words)]
    return exact or list(of_meter.values())


def _least_of(rates: Iterable[Rate], amount: Fraction) -> Fraction:
    return min((rate.units(amount) for rate in rates), default=Fraction(0))


def _most_of(rates: Iterable[Rate], amount: Fraction) -> Fraction:
    return max((rate.units(amount) for rate in rates), default=Fraction(0))


def _least(rates: Mapping[str, Rate], meters: Iterable[str], length: int) -> Fraction:
    return min((rates[meter].at(length).units(1) for meter in meters if meter in rates), default=Fraction(0))


def _dearest(rates: Mapping[str, Rate], meters: Iterable[str], length: int) -> Fraction:
    """The highest price of one token, at any length of prompt up to ``length``."""
    steps = [rate for meter in meters if meter in rates for rate in _steps(rates[meter], length)]
    return max((rate.units(1) for rate in steps), default=Fraction(0))


def _steps(rate: Rate, length: int) -> Iterator[Rate]:
    yield rate
    yield from (step for start, step in rate.steps if start < length)


def _part(meter: str) -> str:
    return PARTS.get(meter.partition(" ")[0], "tool")


def _cents(units: int) -> Decimal:
    return _scaleb(Decimal(units), -8)


def _weigh(value: Any) -> tuple[int, int]:
    """Bytes of all text in a body, and how many images, sounds and files it holds or points to."""
    size = found = 0
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        key, item = stack.pop()
        if isinstance(item, str):
            if key in _CODES and (item.startswith(("data:", "http://", "https://")) or len(item) > 4096):
                found += 1
            else:
                size += len(item.encode("utf-8", "surrogatepass"))
        elif isinstance(item, Mapping):
            kind = item.get("type")
            found += sum(name in item for name in _BINARY if name != kind) + (kind in _BINARY)
            for name, inner in item.items():
                size += len(str(name))
                stack.append((str(name), inner))
        elif isinstance(item, list | tuple):
            stack += [(key, inner) for inner in item]
        elif isinstance(item, bytes | bytearray):
            found += 1
        elif item is not None:
            size += len(str(item))
    return size, found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


_NESTED = (
    "generationConfig",
    "generation_config",
    "inferenceConfig",
    "parameters",
    "config",
    "input",
    "textGenerationConfig",
)


def _places(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield body
    for name in _NESTED:
        inner = body.get(name)
        if isinstance(inner, Mapping):
            yield inner


def _number(body: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is a positive number, rounded up."""
    for place in _places(body):
        for name in names:
            value = place.get(name)
            if isinstance(value, str) and value.removesuffix("s").isdecimal():
                value = int(value.removesuffix("s"))
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**12:
                return ceil(value)
    return None


def _text(body: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := body.get(name), str)), "")


def _server_tools(body: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Tools that the provider runs and bills, and how often at most (``None``: the body does not say)."""
    known = ("web_search", "file_search", "code_interpreter", "x_search", "code_execution", "web_fetch", "maps")
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list | tuple) else ():
        if not isinstance(tool, Mapping):
            continue
        kind = str(tool.get("type") or "")
        name = next((name for name in known if kind.startswith(name)), "")
        if name:
            most = tool.get("max_uses", body.get("max_tool_calls"))
            yield name, most if isinstance(most, int) and not isinstance(most, bool) else None
        if any(name in tool for name in ("googleSearch", "google_search", "googleSearchRetrieval")):
            yield "grounding", None
    if isinstance(body.get("web_search_options"), Mapping):
        yield "web_search", None


def _model_in(endpoint: str | None) -> str:
    """The model that a path names: `/v1beta/models/NAME:generateContent`, `/model/NAME/invoke`, `/deployments/NAME/chat/…`."""
    parts = (endpoint or "").partition("?")[0].split("/")
    for before in ("models", "model", "deployments"):
        if before in parts[:-1]:
            name = parts[parts.index(before) + 1]
            return name if before == "model" else name.partition(":")[0]
    return ""
