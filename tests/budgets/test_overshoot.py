"""The contract: a budget is overdrawn by no more than what its calls under way cost beyond their bounds, and those are sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spectra_otel as spectra
from spectra_otel import pricing
from spectra_otel.budgets import guard
from spectra_otel.budgets.amounts import units
from spectra_otel.budgets.book import book
from spectra_otel.budgets.ticket import Ticket

TARGETS = [
    ("openai", "gpt-4o"), ("openai", "gpt-5"), ("openai", "gpt-4.1-mini"), ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"), ("xai", "grok-4"), ("mistral", "mistral-large-latest"),
]  # fmt: skip


@dataclass
class Call:
    """One random call: what it asks for, and how much of that it will use."""

    target: tuple[str, str]
    words: str
    limit: int | None
    answers: int
    tier: str
    cache: str
    searches: int
    share: float
    factor: int
    body: dict[str, Any] = field(init=False)
    ticket: Ticket | None = None

    def __post_init__(self) -> None:
        text: dict[str, Any] = {"type": "text", "text": self.words}
        if self.cache:
            text["cache_control"] = {"type": "ephemeral", "ttl": self.cache}
        self.body = {"model": self.target[1], "messages": [{"role": "user", "content": [text]}], "n": self.answers}
        if self.limit is not None:
            self.body["max_tokens"] = self.limit
        else:
            self.body["stream"] = True
        if self.searches:
            self.body["tools"] = [{"type": "web_search_20250305", "name": "web_search", "max_uses": self.searches}]

    @property
    def values(self) -> dict[str, Any]:
        provider, model = self.target
        return {"provider": provider, "model": model, "model_type": "text", "requested_tier": self.tier}

    def begin(self) -> bool:
        """Whether there was room."""
        size = len(json.dumps(self.body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        try:
            self.ticket = guard.admit(self.values, self.body, size)
        except spectra.BudgetExceededError:
            return False
        return True

    def usage(self, written: int | None = None) -> dict[str, Any]:
        """What the provider says it was: never more than it was asked for, unless ``factor`` says that it lies."""
        read = int(self.share * len(self.words.encode("utf-8", "surrogatepass"))) + 20
        if self.searches:
            read += int(self.share * 20_000)
        answer = int(self.share * (self.limit or 0)) * self.answers if written is None else written
        usage: dict[str, Any] = {"prompt_tokens": read * self.factor, "completion_tokens": answer * self.factor}
        if self.cache:
            usage["cache_write_tokens"] = usage["prompt_tokens"]
        if self.cache == "1h":
            usage["cache_write_1h_tokens"] = usage["prompt_tokens"]
        if self.searches:
            usage["tool_call_counts"] = {"web_search": round(self.share * self.searches)}
        return usage

    def end(self) -> int:
        """Have it settled; gives what it cost beyond its bound, in units."""
        assert self.ticket is not None
        assert self.ticket.lease is not None
        usage = self.usage(self._stream(self.ticket) if self.limit is None else None)
        provider, model = self.target
        tier = "standard" if self.tier == "flex" else self.tier  # a flex call may be billed as a standard one
        cost = pricing.calculate(provider, model, usage, pricing_tier=tier)
        assert cost.total_cost_in_cents is not None
        self.ticket.settle(
            {**self.values, **usage, "total_cost_in_cents": cost.total_cost_in_cents, "cost_status": "priced"}
        )
        return max(0, units(cost.total_cost_in_cents) - self.ticket.lease.bound.cost)

    def _stream(self, ticket: Ticket) -> int:
        """Deliver a stream piece by piece until it ends or is cut; tokens of four characters."""
        for piece in range(1, 1 + int(self.share * 20)):
            try:
                ticket.delivered(piece * 3_000)
            except spectra.BudgetExceededError as cut:
                return -(-int(cut.partial["characters"]) // 4)
        return int(self.share * 20) * 750


calls = st.builds(
    Call,
    target=st.sampled_from(TARGETS),
    words=st.text(min_size=1, max_size=400),
    limit=st.one_of(st.none(), st.integers(1, 4_000)),
    answers=st.integers(1, 3),
    tier=st.sampled_from(["standard", "flex", "priority", "batch"]),
    cache=st.sampled_from(["", "", "5m", "1h"]),
    searches=st.sampled_from([0, 0, 1, 3]),
    share=st.floats(0, 1),
    factor=st.just(1),
)
lies = st.builds(lambda call, factor: (setattr(call, "factor", factor), call)[1], calls, st.integers(1, 4))


def overdraw(made: list[Call], cents: int, choose: Callable[[int], int | None]) -> tuple[int, int, int]:
    """Begin and end calls in an order that ``choose`` gives: (settled beyond the limit, what the contract allows, overshoot)."""
    spectra.budgets.set("b", cost=str(Decimal(cents) / 100), period="total")
    try:
        allowed, under_way = 0, []
        for call in made:
            if call.begin():
                under_way.append(call)
            while under_way and (chosen := choose(len(under_way))) is not None:
                allowed += under_way.pop(chosen).end()
        allowed += sum(call.end() for call in under_way)
        found = book.ledger().states("b")
        if not found:
            return 0, allowed, 0
        assert found[0].reserved == (0, 0, 0)
        return found[0].settled.cost - units(Decimal(cents)), allowed, found[0].overshoot
    finally:
        spectra.budgets.remove("b")


common = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def chooser(data: Any) -> Callable[[int], int | None]:
    return lambda count: data.draw(st.one_of(st.none(), st.integers(0, count - 1)))


@settings(common, max_examples=60)
@given(
    st.lists(calls.filter(lambda call: call.limit is not None), min_size=1, max_size=12),
    st.sampled_from([1, 5, 30, 200, 1_000]),
    st.data(),
)
def test_calls_that_limit_their_answers_never_overdraw_a_budget(made: list[Call], cents: int, data: Any) -> None:
    """Whatever they ask for (answers, tier, caches, tools) and however they overlap: not by a hundred-millionth of a cent."""
    beyond, allowed, overshoot = overdraw(made, cents, chooser(data))
    assert (allowed, overshoot) == (0, 0)
    assert beyond <= 0


@settings(common, max_examples=60)
@given(st.lists(lies, min_size=1, max_size=12), st.sampled_from([1, 5, 30, 200, 1_000]), st.data())
def test_a_budget_is_overdrawn_by_no_more_than_the_contract(made: list[Call], cents: int, data: Any) -> None:
    """With streams that are extended and cut, and with bills of up to four times what was asked for."""
    beyond, allowed, overshoot = overdraw(made, cents, chooser(data))
    assert beyond <= allowed
    assert overshoot == allowed
