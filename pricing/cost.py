"""What a response cost, to the last digit and in microseconds.

Amounts are whole numbers of 1e-8 cents all the way: each part (prompt, completion, media, tool) is an exact rational, rounded
once, half to even; the total is the sum of the rounded parts. No float takes part.

:meth:`Priced.by_definition` sums the charges of a :class:`~spectra_otel.pricing.plan.Plan`. Most responses are text alone, and
for them :meth:`Priced.cost` gets to the same amounts with a handful of whole-number multiplications; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

from spectra_otel.pricing.places import Premium
from spectra_otel.pricing.plan import LARGEST, OTHER_FIELDS, Charge, Plan, UsageError
from spectra_otel.pricing.units import PARTS, TOKEN_METERS, Rate

LARGEST_UNITS = 10**18
"""Amounts from here on (10 billion cents) are an error; DECIMAL(18,8) holds no more."""

_scaleb = Context(prec=60).scaleb
_PLACES = Decimal(-8)
_SLOW_METERS = frozenset({"reasoning", "request"})
_PARTS = ("prompt", "completion", "media", "tool")
_new = tuple.__new__


class Cost(NamedTuple):
    """What a response cost, in cents. ``None`` is not known, or not part of this call; the names are those of the record."""

    total_cost_in_cents: Decimal | None = None
    prompt_cost_in_cents: Decimal | None = None
    completion_cost_in_cents: Decimal | None = None
    media_cost_in_cents: Decimal | None = None
    tool_cost_in_cents: Decimal | None = None
    cost_status: str = "unpriced"
    cost_source: str | None = None
    price_id: str | None = None
    price_version: str | None = None
    price_disputed: bool | None = None
    currency: str = "USD"
    fx_rate: Decimal | None = None
    contract_cost_in_cents: Decimal | None = None


class PriceLabel(NamedTuple):
    """Which price it was; the last fields of a :class:`Cost`."""

    cost_source: str
    price_id: str
    price_version: str
    price_disputed: bool
    currency: str = "USD"
    fx_rate: Decimal | None = None


class Priced:
    """A price table with a label, ready to use.

    ``tier_known`` is false where the tier that was asked for has no price and the standard one stands in. ``borrowed`` are
    media meters of the standard tier that the tier itself does not list. ``is_estimate``: its rate of exchange is an old one.
    ``contract`` is the same model by the user's contract.
    """

    __slots__ = (
        "_borrowed", "_ending", "_has_output", "_knows_1h", "_label", "_multiplied", "_quick", "_starts", "_status",
        "contract", "plan",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        label: PriceLabel,
        *,
        tier_known: bool = True,
        borrowed: frozenset[str] = frozenset(),
        is_estimate: bool = False,
        contract: Priced | None = None,
    ) -> None:
        self.plan = plan
        self._label = label
        self._borrowed = borrowed
        self.contract = contract
        self._multiplied: dict[Premium, Priced] = {}
        self._status = "estimated" if not tier_known or is_estimate else "free" if plan.is_free else "priced"
        self._ending = (None, None, self._status, *label, None)
        """The fields of a quickly found cost, after those of prompt and completion."""
        self._has_output = "output" in plan.rates
        self._knows_1h = "cache_write_1h" in plan.rates or "cache_write" not in plan.rates
        self._starts = tuple(sorted({start for rate in plan.rates.values() for start, _ in rate.steps}))
        self._quick: tuple[_Weights, ...] = ()
        is_marginal = any(rate.marginal for rate in plan.rates.values())
        if "input" in plan.rates and not plan.rates.keys() & _SLOW_METERS and label.fx_rate is None and not is_marginal:
            self._quick = tuple(_Weights(plan.rates, length) for length in (0, *(start + 1 for start in self._starts)))

    def times(self, premium: Premium) -> Priced:
        """This table with the prices that a premium is asked for multiplied."""
        known = self._multiplied.get(premium)
        if known is None:
            rates = {
                meter: rate.times(premium.factor) if meter.partition(" ")[0] in premium.meters else rate
                for meter, rate in self.plan.rates.items()
            }
            known = self._multiplied[premium] = Priced(
                Plan(self.plan.model_type, rates), self._label, borrowed=self._borrowed,
                is_estimate=self._status == "estimated", contract=self.contract and self.contract.times(premium),
            )  # fmt: skip
        return known

    def flat(self, *, dearest: bool) -> Priced:
        """This table with the dearest or the cheapest rate in the place of each marginal price of tokens."""
        rates = {
            meter: rate.flat(dearest=dearest) if meter in TOKEN_METERS else rate
            for meter, rate in self.plan.rates.items()
        }
        if rates == self.plan.rates:
            return self
        return Priced(Plan(self.plan.model_type, rates), self._label, borrowed=self._borrowed)

    @property
    def unknown(self) -> Cost:
        """The cost of a response whose usage cannot be priced."""
        return Cost(price_version=self._label.price_version, currency=self._label.currency)

    def cost(self, usage: Mapping[str, Any]) -> Cost:
        """What a response with this usage costs; impossible usage is ``unpriced``, never an error."""
        if self.contract is None:
            return self._listed(usage)
        by_contract = self.contract._listed(usage).total_cost_in_cents
        return self._listed(usage)._replace(contract_cost_in_cents=by_contract)

    def _listed(self, usage: Mapping[str, Any]) -> Cost:
        get = usage.get
        if not self._quick or (not usage.keys().isdisjoint(OTHER_FIELDS) and any(map(get, OTHER_FIELDS))):
            return self.by_definition(usage)
        prompt, completion = get("prompt_tokens"), get("completion_tokens")
        cached, reasoning = get("cached_tokens") or 0, get("reasoning_tokens") or 0
        written, written_1h = get("cache_write_tokens") or 0, get("cache_write_1h_tokens") or 0
        if not (
            type(prompt) is int and type(completion) is int and type(cached) is int and type(reasoning) is int
            and 0 <= cached <= prompt <= LARGEST and 0 <= reasoning <= completion <= LARGEST
            and (self._has_output or not completion)
        ) or ((written or written_1h) and not (
            type(written) is int and type(written_1h) is int and 0 <= written_1h <= written <= prompt - cached
            and (self._knows_1h or not written_1h)
        )):  # fmt: skip
            return self.by_definition(usage)  # which says what is unusual about it
        weights = self._quick[sum(prompt > start for start in self._starts) if self._starts else 0]
        prompt_units = (prompt - cached - written) * weights.input + cached * weights.cached
        if written:
            prompt_units += (written - written_1h) * weights.written + written_1h * weights.written_1h
        if weights.prompt_per != 1:
            prompt_units = round(Fraction(prompt_units, weights.prompt_per))
        completion_units = completion * weights.output
        if weights.completion_per != 1:
            completion_units = round(Fraction(completion_units, weights.completion_per))
        total = prompt_units + completion_units
        if total >= LARGEST_UNITS:
            return self.unknown
        completion_cost = _scaleb(completion_units, _PLACES) if self._has_output else None
        amounts = _scaleb(total, _PLACES), _scaleb(prompt_units, _PLACES), completion_cost
        return _new(Cost, amounts + self._ending)  # not Cost(…), which takes as long again as all of the above

    def by_definition(self, usage: Mapping[str, Any]) -> Cost:
        """The same, as the sum of all charges."""
        try:
            bill = self.plan.charges(usage)
        except UsageError:
            return self.unknown
        if not bill.charges and (bill.missing or not self.plan.is_free):
            return self.unknown
        units = _rounded_parts(bill.charges, self._label.fx_rate) or {"prompt": 0}
        if sum(units.values()) >= LARGEST_UNITS:
            return self.unknown
        status = self._status
        if bill.missing and not (status == "free" and set(bill.missing) <= PARTS.keys()):
            status = "partial"  # but of what is free, how much it was does not matter
        elif status == "free" and any(units.values()):
            status = "priced"  # a tool was paid for
        elif status != "free" and (bill.assumed or any(charge.meter in self._borrowed for charge in bill.charges)):
            status = "estimated"
        parts = (_scaleb(units[part], _PLACES) if part in units else None for part in _PARTS)
        prompt, completion, media, tool = parts
        return Cost(_scaleb(sum(units.values()), _PLACES), prompt, completion, media, tool, status, *self._label)


class _Weights:
    """Whole-number prices of the common token meters, for one length of context, in 1e-8 cents.

    So many tokens cost that much: ``prompt_per`` for all meters of the prompt, ``completion_per`` for the output.
    """

    __slots__ = ("cached", "completion_per", "input", "output", "prompt_per", "written", "written_1h")

    def __init__(self, rates: Mapping[str, Rate], prompt_tokens: int) -> None:
        meters = ("input", "cache_read", "cache_write", "cache_write_1h")
        units = [rates.get(meter, rates["input"]).at(prompt_tokens).units(1) for meter in meters]
        self.prompt_per = lcm(*(unit.denominator for unit in units))
        weights = [unit.numerator * (self.prompt_per // unit.denominator) for unit in units]
        self.input, self.cached, self.written, self.written_1h = weights
        output = rates["output"].at(prompt_tokens).units(1) if "output" in rates else Fraction(0)
        self.output, self.completion_per = output.numerator, output.denominator


def _rounded_parts(charges: Iterable[Charge], fx_rate: Decimal | None) -> dict[str, int]:
    """Amounts by part, each part summed exactly, exchanged, and then rounded once, half to even."""
    parts: dict[str, Fraction] = {}
    for charge in charges:
        parts[charge.part] = parts.get(charge.part, Fraction(0)) + charge.units
    exchange = Fraction(fx_rate) if fx_rate is not None else 1
    return {part: round(units * exchange) for part, units in parts.items()}
