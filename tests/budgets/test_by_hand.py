"""Calls tracked by hand, for clients that are not instrumented: room is kept before they begin and settled by what they say."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import openai
import pytest

import spectra_otel as spectra
from spectra_otel.budgets import Status, bounds
from spectra_otel.budgets.amounts import units
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.tracking.abandoned import abandoned
from tests.budgets.conftest import Held

BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
ANSWER = {"choices": [], "model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
BEGINS: dict[str, Callable[[], Any]] = {
    "track": lambda: spectra.track("openai", "gpt-4o").__enter__(),
    "start_request": lambda: spectra.start_request("openai", "gpt-4o"),
    "stream": lambda: spectra.stream("openai", "gpt-4o").wrap([]),
}

pytestmark = pytest.mark.usefixtures("app")


def status(name: str = "hand") -> Status:
    [row] = spectra.budgets.status(name)
    return row


@pytest.mark.parametrize("begin", BEGINS)
def test_a_call_by_hand_does_not_begin_when_nothing_is_left(begin: str) -> None:
    """The first call is counted when it says what it was; the next one is stopped before it starts."""
    spectra.budgets.set("hand", requests=1, period="total")
    with spectra.track("openai", "gpt-4o") as request:
        request.record(ANSWER)
    assert status().settled_requests == 1
    with pytest.raises(spectra.BudgetExceededError, match="budget 'hand' has no room"):
        BEGINS[begin]()


@pytest.mark.parametrize("begin", BEGINS)
def test_calls_that_begin_at_once_do_not_all_pass(begin: str) -> None:
    """Of twelve that have begun and not ended, a budget of three lets three through."""
    spectra.budgets.set("hand", requests=3, period="total")
    barrier = Barrier(12)

    def call(_: int) -> Any:
        barrier.wait()
        try:
            return BEGINS[begin]()
        except spectra.BudgetExceededError:
            return None

    with ThreadPoolExecutor(12) as pool:
        under_way = [one for one in pool.map(call, range(12)) if one is not None]
    assert len(under_way) == 3
    assert (status().reserved_requests, status().blocked_requests) == (3, 9)


def test_the_most_that_a_request_can_cost_is_reserved_and_what_it_cost_is_settled() -> None:
    """``request`` is what the client is going to send; its bound is held until the answer is there."""
    spectra.budgets.set("hand", cost="1 USD", period="total")
    bound = bounds.upper_bound(bounds.Request("openai", "gpt-4o", "text", "standard", BODY, 0))
    with spectra.track("openai", "gpt-4o", request=BODY) as request:
        assert units(status().reserved_cost_in_cents) == bound.amount.cost
        request.record(ANSWER)
    assert status().reserved_cost_in_cents == 0
    assert 0 < units(status().settled_cost_in_cents) < bound.amount.cost
    spectra.budgets.set("hand", cost="0.001 USD", period="total")
    with pytest.raises(spectra.BudgetExceededError, match="no room for a call of up to"):
        spectra.start_request("openai", "gpt-4o", request={**BODY, "max_tokens": 10_000})


def test_a_block_around_an_instrumented_call_takes_no_room_of_its_own(app: LocalProvider) -> None:
    """The call inside asks for itself; the block gives way, and a budget of one request lets one through."""
    spectra.budgets.set("hand", requests=1, period="total")
    with openai.OpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
        with spectra.track("openai", "gpt-4o", request=BODY), spectra.track("openai"):
            client.chat.completions.create(**BODY)
        assert (status().settled_requests, status().reserved_requests) == (1, 0)
        with pytest.raises(spectra.BudgetExceededError), spectra.track("openai", "gpt-4o"):
            client.chat.completions.create(**BODY)


@pytest.mark.parametrize(
    ("outcome", "settled"),
    [("nothing was called", 0), ("it failed", 1), ("nobody ever said", 1)],
)
def test_room_comes_back_however_a_call_ends(outcome: str, settled: int) -> None:
    """A block without a call gives all of it back; a call of unknown outcome is charged what it must have cost."""
    spectra.budgets.set("hand", requests=5, cost="1 USD", period="total")
    if outcome == "nothing was called":
        with spectra.track("openai", "gpt-4o", request=BODY):
            assert status().reserved_requests == 1
    elif outcome == "it failed":
        call = spectra.start_request("openai", "gpt-4o", request=BODY)
        spectra.record_failure(call, "gone")
    else:
        spectra.start_request("openai", "gpt-4o", request=BODY)
        gc.collect()
        abandoned.settle()
    row = status()
    assert (row.settled_requests, row.reserved_requests, row.reserved_cost_in_cents) == (settled, 0, 0)
    assert (row.settled_cost_in_cents > 0) == bool(settled)


def chunks(count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {"id": "r", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "x" * 400}}]}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_stream_by_hand_is_extended_while_there_is_room_and_cut_after(is_async: bool) -> None:
    """The error has what was delivered, and the budget has settled it: within one step of the limit, none above."""
    spectra.budgets.set("hand", tokens=6_000, period="total")

    async def read_async() -> int:
        async def source() -> AsyncIterator[Any]:
            for chunk in chunks(100):
                yield chunk

        return len([chunk async for chunk in spectra.stream("openai", "gpt-4o").wrap(source())])

    with pytest.raises(spectra.BudgetExceededError, match="the stream was cut") as caught:
        asyncio.run(read_async()) if is_async else list(spectra.stream("openai", "gpt-4o").wrap(chunks(100)))
    delivered = caught.value.partial["characters"] // 4
    row = status()
    assert (row.settled_tokens, row.reserved_tokens, row.settled_requests) == (delivered, 0, 1)
    assert 6_000 - 64 - 100 <= delivered <= 6_000 + 100  # the last piece is what found no room


def test_a_stream_by_hand_with_room_is_read_to_its_end() -> None:
    """Its lease grows with it."""
    spectra.budgets.set("hand", tokens=50_000, period="total")
    assert len(list(spectra.stream("openai", "gpt-4o").wrap(chunks(100)))) == 100
    assert status().reserved_tokens == 0


def test_a_call_that_was_refused_leaves_a_record_that_cost_nothing() -> None:
    """Failed, not billed, with whom it was for."""
    spectra.budgets.set("hand", requests=1, period="total", by=["user.id"])
    found: list[Any] = []
    spectra.on(spectra.RequestTracked)(found.append)
    spectra.start_request("openai", "gpt-4o", user="u1")
    with pytest.raises(spectra.BudgetExceededError):
        spectra.start_request("openai", "gpt-4o", user="u1")
    spectra.force_flush()
    [event] = found
    record = event.request
    assert (record["error_type"], record["cost_status"], record["user_id"]) == ("budget_exceeded", "not_billed", "u1")


def test_a_model_without_a_price_does_not_begin() -> None:
    """As at the HTTP level; where no model is named there is none to look up."""
    spectra.budgets.set("hand", cost="1 USD", period="total")
    with pytest.raises(spectra.BudgetExceededError, match="no price is known for openai/no-such-model"):
        spectra.start_request("openai", "no-such-model")
    with spectra.track("openai"):
        pass


def test_code_that_cannot_await_holds_a_loop_up_briefly(held_ledger: Held) -> None:
    """A plain ``with`` on a loop waits a moment for a ledger that others have, then goes on and is counted in the end."""
    spectra.budgets.set("hand", requests=5, period="total")
    held: list[float] = []

    async def main() -> None:
        for wait in (True, False):
            begin = time.perf_counter()
            with spectra.track("openai", "gpt-4o") as request:
                held.append(time.perf_counter() - begin)
                request.record(ANSWER)
            if wait:
                held_ledger.let_go()

    held_ledger.hold()
    asyncio.run(main())
    assert held[0] < 0.05  # 1.5 ms, on a machine that has them
    spectra.force_flush()
    assert (status().settled_requests, status().reserved_requests) == (2, 0)


def test_code_that_can_await_waits_for_its_turn(held_ledger: Held) -> None:
    """``async with`` and decorated coroutines begin once the ledger has answered; the loop turns until then."""
    spectra.budgets.set("hand", requests=1, period="total")

    @spectra.track("openai", "gpt-4o")
    async def decorated() -> None:
        raise AssertionError("there is no room for it")

    async def main() -> None:
        async def first() -> None:
            async with spectra.track("openai", "gpt-4o") as request:
                request.record(ANSWER)

        waiting = asyncio.create_task(first())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        held_ledger.let_go()
        await waiting
        with pytest.raises(spectra.BudgetExceededError):
            await decorated()

    held_ledger.hold()
    asyncio.run(main())
    assert status().settled_requests == 1
