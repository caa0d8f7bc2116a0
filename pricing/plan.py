"""From usage to money: what is charged, at which rate, exactly.

A :class:`Plan` is the price table of one model, tier and moment, ready to use. :meth:`Plan.charges` is the definition of what a
response costs, written to be read; the quick way through :mod:`spectra_otel.pricing.calculate` gives the same and a test says so.

Which part of the usage has which rate:

- cached and cache-written tokens, audio and image tokens are parts of the prompt; what is left is plain input. A part without
  a rate of its own costs what plain input costs, as providers bill that list one input price. A one-hour cache write where only
  the five-minute price is known is a floor.
- reasoning tokens are output unless priced apart. Audio or image output without a rate of its own is a floor.
- Where the answer (for transcription, the audio) was counted in tokens, tokens are billed; else the one media meter that the
  model is sold by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from spectra_otel.pricing.units import PARTS, Rate, part_of

LARGEST = 10**12
"""Quantities above this are not usage but an error."""

MEGAPIXEL = 1 << 20
_SIZE = re.compile(r"(\d+)\s*[x×*]\s*(\d+)\Z")

TOKEN_FIELDS = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
    "audio_prompt_tokens", "audio_completion_tokens", "image_prompt_tokens", "image_completion_tokens",
)  # fmt: skip
MEDIA_FIELDS = (
    "image_count", "video_count", "duration_seconds", "compute_seconds", "input_characters", "search_units", "pages",
)  # fmt: skip
TEXT_FIELDS = ("image_size", "image_quality", "video_resolution", "hardware")
USAGE_FIELDS = (*TOKEN_FIELDS, "total_tokens", *MEDIA_FIELDS, *TEXT_FIELDS, "tool_call_counts")
"""Every usage field that a price can depend on, and `total_tokens`, which none does."""

QUICK_FIELDS = TOKEN_FIELDS[:6]
OTHER_FIELDS = (*TOKEN_FIELDS[6:], *MEDIA_FIELDS, "tool_call_counts")
"""Fields that take a call off the quick way."""

MEDIA_METERS: dict[str, tuple[str, ...]] = {
    "image": ("megapixel", "image"),
    "video": ("video_second", "video"),
    "tts": ("character", "audio_second"),
    "stt": ("audio_second",),
    "rerank": ("search",),
    "ocr": ("page",),
}
_FIELD_OF_METER = {
    "image": "image_count", "megapixel": "image_count", "video": "video_count", "video_second": "duration_seconds",
    "audio_second": "duration_seconds", "character": "input_characters", "search": "search_units", "page": "pages",
    "compute_second": "compute_seconds",
}  # fmt: skip
_ANSWERS_IN_MEDIA = frozenset({"image", "video", "tts"})


class UsageError(ValueError):
    """The usage is not possible: negative, absurd, not a number, or parts larger than the whole."""


class Charge(NamedTuple):
    """One line of the bill: ``units`` is the exact amount in 1e-8 cents."""

    meter: str
    quantity: Fraction
    rate: Rate

    @property
    def part(self) -> str:
        return part_of(self.meter)

    @property
    def units(self) -> Fraction:
        return self.rate.units(self.quantity)


class Bill(NamedTuple):
    """All charges; meters that were used and have no price; whether a split had to be assumed."""

    charges: list[Charge]
    missing: list[str]
    assumed: bool


class Plan:
    """The rates of one model, tier and moment."""

    def __init__(self, model_type: str, rates: Mapping[str, Rate]) -> None:
        self.model_type = model_type
        self.rates = rates
        self.is_free = any(m in PARTS for m in rates) and not any(
            r.pico for m, r in rates.items() if not m.startswith("tool.")
        )

    def charges(self, usage: Mapping[str, Any]) -> Bill:
        """What a response with this usage is charged. Raises :class:`UsageError` for impossible usage."""
        tokens = {name: amount for name in TOKEN_FIELDS if (amount := quantity(name, usage.get(name))) is not None}
        media = {name: amount for name in MEDIA_FIELDS if (amount := quantity(name, usage.get(name))) is not None}
        bill = Bill([], [], False)
        assumed = self._tokens(tokens, bill) if self._sold_by_token else False
        answer = "prompt_tokens" if self.model_type == "stt" else "completion_tokens"
        if not tokens.get(answer) or not self._sold_by_token:
            self._media(media, usage, bill)
        self._tools(usage, bill)
        if "request" in self.rates and bill.charges:
            bill.charges.append(Charge("request", Fraction(1), self.rates["request"]))
        return bill._replace(assumed=assumed)

    @property
    def _sold_by_token(self) -> bool:
        return "input" in self.rates or "output" in self.rates

    def _tokens(self, tokens: Mapping[str, Fraction], bill: Bill) -> bool:
        """Charge all tokens; true if how cached tokens spread over modalities had to be assumed."""
        prompt, completion = tokens.get("prompt_tokens"), tokens.get("completion_tokens")
        assumed = self._prompt(prompt, tokens, bill)
        self._completion(completion, int(prompt or 0), tokens, bill)
        if self.model_type == "text" and prompt is not None and completion is None and "output" in self.rates:
            bill.missing.append("output")  # not known, which is not 0
        if self.model_type == "text" and prompt is None and completion and "input" in self.rates:
            bill.missing.append("input")
        return assumed

    def _prompt(self, prompt: Fraction | None, tokens: Mapping[str, Fraction], bill: Bill) -> bool:
        cached, written, written_1h, audio, image = (
            tokens.get(name, Fraction(0))
            for name in (
                "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_prompt_tokens", "image_prompt_tokens",
            )
        )  # fmt: skip
        if cached + written > (prompt or 0) or written_1h > written or audio + image > (prompt or 0):
            raise UsageError("parts of prompt_tokens are larger than it")
        if prompt is None:
            return False
        # The usage does not say which of the cached tokens were audio or image: text first, as prompts begin with it.
        text = prompt - audio - image
        text_cached = min(cached, max(text - written, Fraction(0)))
        audio_cached = min(cached - text_cached, audio)
        image_cached = min(cached - text_cached - audio_cached, image)
        plain = prompt - written - text_cached - audio_cached - image_cached
        audio_plain = min(audio - audio_cached, plain)
        image_plain = min(image - image_cached, plain - audio_plain)
        length, at = int(prompt), Fraction(0)
        for amount, meters in (  # in the order in which they stand in the request
            (text_cached, ("cache_read", "input")),
            (audio_cached, ("audio_cache_read", "cache_read", "audio_input", "input")),
            (image_cached, ("image_cache_read", "cache_read", "image_input", "input")),
            (written_1h, ("cache_write_1h", "cache_write?", "input")),
            (written - written_1h, ("cache_write", "input")),
            (plain - audio_plain - image_plain, ("input",)),
            (audio_plain, ("audio_input", "input")),
            (image_plain, ("image_input", "input")),
        ):
            always = not prompt and meters == ("input",) and "input" in self.rates
            self._charge(bill, length, at, amount, *meters, always=always)
            at += amount
        apart = {"audio_input", "image_input", "audio_cache_read", "image_cache_read"} & self.rates.keys()
        return bool(cached and (audio or image) and apart)

    def _completion(self, completion: Fraction | None, length: int, tokens: Mapping[str, Fraction], bill: Bill) -> None:
        reasoning, audio, image = (
            tokens.get(name, Fraction(0))
            for name in ("reasoning_tokens", "audio_completion_tokens", "image_completion_tokens")
        )
        if max(reasoning, audio + image) > (completion or 0):
            raise UsageError("parts of completion_tokens are larger than it")
        if completion is None:
            return
        text = completion - audio - image
        apart = min(reasoning, text) if "reasoning" in self.rates else Fraction(0)
        at = Fraction(length)
        for amount, meters in (
            (apart, ("reasoning",)),
            (text - apart, ("output",)),
            (audio, ("audio_output", "output?")),
            (image, ("image_output", "output?")),
        ):
            always = not completion and meters == ("output",) and "output" in self.rates
            self._charge(bill, length, at, amount, *meters, always=always)
            at += amount

    def _charge(
        self, bill: Bill, length: int, at: Fraction, amount: Fraction, *meters: str, always: bool = False
    ) -> None:
        """Charge ``amount`` tokens that stand behind ``at`` others in a request with a prompt of ``length``.

        The first of ``meters`` that has a rate counts; one with a `?` is only a floor. None has one: it is missing.
        """
        if not amount and not always:
            return
        for meter in meters:
            rate = self.rates.get(meter.removesuffix("?"))
            if rate is not None:
                pieces = rate.spread(amount, at) if rate.marginal else [(amount, rate.at(length))]
                bill.charges.extend(Charge(meters[0], piece, flat) for piece, flat in pieces)
                if meter.endswith("?"):
                    bill.missing.append(meters[0])
                return
        bill.missing.append(meters[0])

    def _media(self, amounts: Mapping[str, Fraction], usage: Mapping[str, Any], bill: Bill) -> None:
        wanted = MEDIA_METERS.get(self.model_type, ())
        for meter in dict.fromkeys((*wanted, *_FIELD_OF_METER)):
            found = self._media_amount(meter, amounts, usage)
            if found is None:
                continue
            rate = self._variant(meter, usage)
            if rate is not None:
                things, each = found
                bill.charges.extend(Charge(meter, things * piece, flat) for piece, flat in rate.spread(each))
                return
        # Nothing of it has a price: say so, if that is what the model answers with.
        if not bill.charges or self.model_type in _ANSWERS_IN_MEDIA:
            bill.missing.extend(name for name, amount in amounts.items() if amount)

    def _media_amount(
        self, meter: str, amounts: Mapping[str, Fraction], usage: Mapping[str, Any]
    ) -> tuple[Fraction, Fraction] | None:
        """How many things there are, and how many units each has (an image so many megapixels)."""
        amount = amounts.get(_FIELD_OF_METER[meter])
        if amount is None or (meter in ("video_second", "audio_second") and not self._has(meter)):
            return None
        if meter == "megapixel":
            size = _SIZE.match(str(usage.get("image_size") or ""))
            pixels = int(size[1]) * int(size[2]) if size else 0
            return (amount, Fraction(-(-pixels // MEGAPIXEL))) if pixels else None
        return Fraction(1), amount

    def _has(self, meter: str) -> bool:
        return any(name.partition(" ")[0] == meter for name in self.rates)

    def _variant(self, meter: str, usage: Mapping[str, Any]) -> Rate | None:
        """The rate of a meter for the size, quality, resolution or hardware used: the most particular one there is."""
        qualifiers = _qualifiers(meter, usage)
        for words in qualifiers:
            if (rate := self.rates.get(" ".join((meter, *words)))) is not None:
                return rate
        if qualifiers != [()]:
            return None  # it says what it was, and that has no price
        variants = {rate for name, rate in self.rates.items() if name.startswith(meter + " ")}
        return variants.pop() if len(variants) == 1 else None

    def tool_rate(self, tool: str) -> Rate | None:
        """What a call of a tool costs. One in preview that has no price of its own costs what it does when it is none."""
        return self.rates.get(f"tool.{tool}") or self.rates.get(f"tool.{tool.removesuffix('_preview')}")

    def _tools(self, usage: Mapping[str, Any], bill: Bill) -> None:
        counts = usage.get("tool_call_counts")
        if not counts:
            return
        if not isinstance(counts, Mapping):
            raise UsageError(f"tool_call_counts is {counts!r}, not a mapping of tools to counts")
        for tool, count in counts.items():
            amount = quantity(f"tool_call_counts.{tool}", count)
            rate = self.tool_rate(tool)
            if amount and rate is None:
                bill.missing.append(f"tool.{tool}")
            elif amount and rate is not None:
                bill.charges.extend(Charge(f"tool.{tool}", piece, flat) for piece, flat in rate.spread(amount))


def _qualifiers(meter: str, usage: Mapping[str, Any]) -> list[tuple[str, ...]]:
    if meter == "image":
        sizes = _words(usage.get("image_size"))
        qualities = _words(usage.get("image_quality"))
        return [*((s, q) for s in sizes for q in qualities), *((s,) for s in sizes), *((q,) for q in qualities), ()]
    if meter == "video_second":
        return [*((word,) for word in _resolutions(usage.get("video_resolution"))), ()]
    if meter == "compute_second":
        return [*((word,) for word in _words(usage.get("hardware"))), ()]
    return [()]


def _words(value: Any) -> list[str]:
    return [str(value).strip().lower().replace(" ", "-")] if value else []


def _resolutions(value: Any) -> list[str]:
    """`1280x720` is also `720p`; 2160 lines are also `4k`."""
    words = _words(value)
    if words and (size := _SIZE.match(words[0])):
        words.append(f"{min(int(size[1]), int(size[2]))}p")
    if words and words[-1] == "2160p":
        words.append("4k")
    return words


def quantity(name: str, value: Any) -> Fraction | None:
    """An amount as an exact number; ``None`` stays unknown. Raises :class:`UsageError` for what cannot be an amount."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        raise UsageError(f"{name} is {value!r}, not a number")
    try:
        amount = Fraction(float.__repr__(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name} is {value!r}, not a number") from error
    if not 0 <= amount <= LARGEST:
        raise UsageError(f"{name} is {value!r}; valid is 0 to {LARGEST}")
    return amount
