"""What providers bill by, and how a price is written.

A *meter* is one thing that is billed (``input`` tokens, an ``image``, a ``tool.web_search``). A *rate* is its price, exact: an
integer of pico-USD for N published units, with the minimum a provider bills and the steps at which more costs more or less.

Rates are written the way price pages print them::

    1.25                      USD for 1M tokens (tokens and characters), for one unit of all other meters
    10/1K                     USD for 1,000 units
    0.04/3600 min 10          USD for 3,600 seconds, at least 10 of them are billed
    1.25 above 200K: 2.50     the whole request at 2.50 once its prompt has more than 200,000 tokens
    1.25 beyond 200K: 2.50    the first 200,000 tokens at 1.25, those that stand behind them at 2.50

A step `beyond` is marginal. Tokens stand in a request in this order: read from a cache, written to one, the rest of the prompt,
the answer. Other units are counted on their own: `0.03 beyond 1: 0.015` by the megapixel is 0.03 for the first one of each image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

MILLION = 1_000_000
PICO = 10**12

# Meter → part of the cost it belongs to. Meters of tools are `tool.<name>` and belong to "tool".
PARTS: dict[str, str] = {
    "input": "prompt",
    "cache_read": "prompt",
    "cache_write": "prompt",
    "cache_write_1h": "prompt",
    "audio_input": "prompt",
    "audio_cache_read": "prompt",
    "image_input": "prompt",
    "image_cache_read": "prompt",
    "request": "prompt",
    "output": "completion",
    "reasoning": "completion",
    "audio_output": "completion",
    "image_output": "completion",
    "image": "media",
    "megapixel": "media",
    "video": "media",
    "video_second": "media",
    "audio_second": "media",
    "character": "media",
    "page": "media",
    "search": "media",
    "compute_second": "media",
}
TOKEN_METERS = tuple(meter for meter, part in PARTS.items() if part in ("prompt", "completion") and meter != "request")

_PER_MILLION = frozenset((*TOKEN_METERS, "character"))
_SCALE = {"": 1, "K": 1000, "M": MILLION}
_ONE = r"(?P<{0}usd>\d+(?:\.\d+)?)(?:\s*/\s*(?P<{0}per>\d*)(?P<{0}scale>[KM]?))?"
_RATE = re.compile(
    _ONE.format("") + r"(?:\s+min\s+(?P<min>\d+))?(?P<steps>(?:\s+(?:above|beyond)\s+\d+K?:\s*[^\s]+)*)\Z"
)
_STEP = re.compile(r"(?P<word>above|beyond)\s+(?P<from>\d+)(?P<k>K?):\s*" + _ONE.format("") + r"(?=\s|\Z)")


@dataclass(frozen=True, slots=True)
class Rate:
    """``pico`` pico-USD (an integer) for ``per`` units; ``minimum`` units are billed at least.

    ``steps`` are (tokens, rate) in rising order: the rate for the whole request once its prompt is longer than that; if
    ``marginal``, the rate of the units behind that many.
    """

    pico: int
    per: int
    minimum: int = 0
    steps: tuple[tuple[int, Rate], ...] = ()
    marginal: bool = False

    def at(self, prompt_tokens: int) -> Rate:
        """The rate for a request with a prompt of this length; of a marginal one that of the next unit behind so many."""
        rate = self
        for start, step in self.steps:
            if prompt_tokens > start or (self.marginal and prompt_tokens == start):
                rate = step
        return rate

    def spread(self, quantity: Fraction, start: Fraction | int = 0) -> Iterator[tuple[Fraction, Rate]]:
        """The pieces of ``quantity`` units that stand behind ``start`` others, each with its own rate if this one is marginal."""
        if not self.marginal or not quantity:
            yield quantity, self
            return
        first, end = Fraction(start), start + quantity
        lows = [Fraction(0), *(Fraction(low) for low, _ in self.steps)]
        rates = [self, *(rate for _, rate in self.steps)]
        for low, high, rate in zip(lows, [*lows[1:], end], rates, strict=True):
            piece = min(end, high) - max(first, low)
            if piece > 0:
                yield piece, rate

    def flat(self, *, dearest: bool) -> Rate:
        """Of a marginal rate the dearest or the cheapest of its rates; others are what they are."""
        if not self.marginal:
            return self
        rates = [Rate(self.pico, self.per, self.minimum), *(rate for _, rate in self.steps)]
        return sorted(rates, key=lambda rate: Fraction(rate.pico, rate.per))[-1 if dearest else 0]

    def times(self, factor: Fraction) -> Rate:
        """The rate multiplied, exactly."""
        steps = tuple((start, step.times(factor)) for start, step in self.steps)
        return replace(self, pico=self.pico * factor.numerator, per=self.per * factor.denominator, steps=steps)

    def units(self, quantity: int | Fraction) -> Fraction:
        """The exact price of ``quantity`` units, in units of 1e-8 cents."""
        if self.minimum and quantity:
            quantity = max(quantity, self.minimum)
        return Fraction(quantity) * self.pico / (100 * self.per)

    def __str__(self) -> str:
        """The rate in USD as a page prints it, without steps: ``1.25/1M``."""
        usd = f"{(Decimal(self.pico) / PICO).normalize():f}"
        per = {1: "", 1000: "/1K", MILLION: "/1M"}.get(self.per, f"/{self.per}")
        return usd + per + (f" min {self.minimum}" if self.minimum else "")


def parse_rate(meter: str, text: str) -> Rate:
    """The rate of ``meter`` that ``text`` says. Raises ``ValueError`` with one line that shows what is valid."""
    found = _RATE.match(text.strip())
    if not found:
        raise ValueError(f"{meter}: {text!r} is not a price; write USD, such as 1.25, 10/1K or 1.25 above 200K: 2.50")
    steps = tuple(
        (int(step["from"]) * (1000 if step["k"] else 1), _rate(meter, step)) for step in _STEP.finditer(found["steps"])
    )
    if list(steps) != sorted(steps, key=lambda step: step[0]) or len({start for start, _ in steps}) != len(steps):
        raise ValueError(f"{meter}: {text!r}: the steps must rise")
    words = re.findall("above|beyond", found["steps"])
    if len(words) != len(steps):
        raise ValueError(f"{meter}: {text!r} is not a price; a step is written: above 200K: 2.50")
    if len(set(words)) > 1:
        raise ValueError(
            f"{meter}: {text!r}: all steps are `above` (the whole request) or all `beyond` (what is behind)"
        )
    return replace(_rate(meter, found), minimum=int(found["min"] or 0), steps=steps, marginal="beyond" in words)


def _rate(meter: str, found: re.Match[str]) -> Rate:
    pico = Decimal(found["usd"]) * PICO
    if pico != int(pico):
        raise ValueError(
            f"{meter}: {found['usd']!r} has more than 12 decimals; write it for more units, such as 0.5/1M"
        )
    if found["per"] is None:
        return Rate(int(pico), MILLION if meter in _PER_MILLION else 1)
    per = int(found["per"] or 1) * _SCALE[found["scale"]]
    if not per:
        raise ValueError(f"{meter}: a price for 0 units")
    return Rate(int(pico), per)


def part_of(meter: str) -> str:
    """The part of the cost a meter belongs to: prompt, completion, media or tool. Raises ``ValueError`` if there is none."""
    if meter.startswith("tool.") and len(meter) > len("tool."):
        return "tool"
    name = meter.partition(" ")[0]  # `image 1024x1024 high` is the meter `image` for one size and quality
    if name not in PARTS:
        raise ValueError(f"{meter!r} is not a meter; valid: {', '.join(PARTS)}, tool.<name>")
    return PARTS[name]
