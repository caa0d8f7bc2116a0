"""Calls of real SDKs under a budget: let through and settled, or stopped before a byte is sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider

import spectra_otel as spectra
from spectra_otel import pricing
from spectra_otel.budgets.book import book
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.pricing.calculate import _default
from spectra_otel.sdk import runtime
from tests.budgets.blocked import ends_at_once
from tests.budgets.conftest import Held

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


_clients: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


def client_of(app: LocalProvider, **options: Any) -> openai.OpenAI:
    _clients.append(openai.OpenAI(base_url=app.url("openai") + "/v1", api_key="x", **options))
    return _clients[-1]


def chat(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 100, **options})


def test_a_call_is_settled_with_the_cost_of_its_record(app: LocalProvider) -> None:
    """What a budget has counted is, to the last digit, what the record says."""
    spectra.budgets.set("all", cost="1 USD", period="total")
    found: list[spectra.RequestTracked] = []
    spectra.on(spectra.RequestTracked)(found.append)
    chat(client_of(app))
    spectra.force_flush()
    [row] = spectra.budgets.status("all")
    assert row.settled_cost_in_cents == found[0].request["total_cost_in_cents"] > 0
    assert row.settled_tokens == found[0].request["total_tokens"]
    assert (row.settled_requests, row.reserved_cost_in_cents) == (1, 0)


def test_a_failed_call_gives_back_what_it_reserved(app: LocalProvider) -> None:
    """A call that the provider refuses and does not bill takes nothing from the budget."""
    spectra.budgets.set("all", cost="1 USD", period="total")
    with pytest.raises(openai.BadRequestError):
        chat(client_of(app), extra_headers={"x-demo-error": "400"})
    [row] = spectra.budgets.status("all")
    assert (row.settled_cost_in_cents, row.reserved_cost_in_cents, row.settled_requests) == (0, 0, 0)


@pytest.mark.parametrize("retries", [None, 5])
def test_openai_gets_an_answer_it_does_not_retry(app: LocalProvider, retries: int | None) -> None:
    """Over within a second, no byte to the provider, a 429 that names the budget, by default and with retries configured."""
    spectra.budgets.set("tiny", cost="0.000001 USD", period="daily")
    options = {} if retries is None else {"max_retries": retries}
    error, _ = ends_at_once(lambda: chat(client_of(app, **options)), openai.RateLimitError)
    assert error.status_code == 429
    assert error.response.headers["x-spectra-budget"] == "tiny"
    assert 0 < int(error.response.headers["retry-after"]) <= 86400
    assert "budget 'tiny' has no room" in str(error)
    assert app.ledger == []


def test_anthropic_gets_an_answer_it_does_not_retry(app: LocalProvider) -> None:
    """The same for anthropic, in the shape of its own errors."""
    spectra.budgets.set("tiny", cost="0.000001 USD", period="total")
    client = anthropic.Anthropic(base_url=app.url("anthropic"), api_key="x", max_retries=4)
    error, _ = ends_at_once(
        lambda: client.messages.create(model="claude-opus-5", max_tokens=100, messages=MESSAGES),
        anthropic.RateLimitError,
    )
    assert error.response.headers["x-spectra-budget"] == "tiny"
    assert "retry-after" not in error.response.headers
    assert app.ledger == []


def test_google_genai_gets_the_exception_itself(app: LocalProvider) -> None:
    """An SDK that would sleep and retry on a 429 gets the exception straight from ``send``."""
    from google.genai import Client, types

    spectra.budgets.set("tiny", cost="0.000001 USD", period="total")
    retrying = types.HttpOptions(base_url=app.url("google"), retry_options=types.HttpRetryOptions(attempts=4))
    with Client(api_key="x", http_options=retrying) as client:
        ends_at_once(
            lambda: client.models.generate_content(model="gemini-2.5-flash", contents="hello"),
            spectra.BudgetExceededError,
        )
    assert app.ledger == []


def test_in_track_it_is_always_our_exception(app: LocalProvider) -> None:
    """Whatever the SDK made of the answer, ``track`` raises ``BudgetExceededError`` from it."""
    spectra.budgets.set("tiny", cost="0.000001 USD", period="monthly", by=["user.id"])
    with pytest.raises(spectra.BudgetExceededError) as caught, spectra.track("openai", "gpt-4o", user="u1"):
        chat(client_of(app))
    assert isinstance(caught.value.__cause__, openai.RateLimitError)
    assert caught.value.name == "tiny"
    assert caught.value.scope == {"user.id": "u1"}
    assert caught.value.limit == Decimal("0.0001")
    assert caught.value.resets_at is not None


def test_track_leaves_the_apps_own_errors_alone(app: LocalProvider) -> None:
    """An error of the app's in a block in which a budget stopped a call is the app's."""
    spectra.budgets.set("tiny", cost="0.000001 USD", period="monthly")

    def fail_after_a_block() -> None:
        with spectra.track("openai", "gpt-4o"):
            with contextlib.suppress(openai.RateLimitError):
                chat(client_of(app))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail_after_a_block()


def test_async_calls_are_stopped_too(app: LocalProvider) -> None:
    """Of twenty concurrent tasks on a budget of five requests, five get through."""
    spectra.budgets.set("five", requests=5, period="total")

    async def main() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
            calls = [
                client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=10) for _ in range(20)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(main())
    assert sum(isinstance(answer, openai.RateLimitError) for answer in answers) == 15
    assert len(app.ledger) == 5


def test_each_bucket_has_the_whole_limit(app: LocalProvider) -> None:
    """One user's calls take nothing from another's budget."""
    spectra.budgets.set("per-user", requests=1, period="daily", by=["user.id"])
    client = client_of(app)
    for user in ("u1", "u2"):
        with spectra.context(user=user):
            chat(client)
            with pytest.raises(openai.RateLimitError):
                chat(client)
    assert sorted(row.bucket for row in spectra.budgets.status("per-user")) == ["u1", "u2"]


def test_a_soft_budget_marks_and_lets_through(app: LocalProvider) -> None:
    """A soft budget stops nothing and says that it is exceeded."""
    spectra.budgets.set("soft", requests=1, period="daily", mode="soft")
    client = client_of(app)
    chat(client)
    chat(client)
    [row] = spectra.budgets.status("soft")
    assert (row.settled_requests, row.state) == (2, "exceeded")


def test_a_price_for_one_account_is_reserved_for_its_calls(
    app: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call of that account has the bound of its own price, which a cheaper list price would undercut."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "provider: openai\naccount: org-7\nprices: [{model: gpt-4o, rates: {input: 250, output: 1000}}]\n"
    )
    monkeypatch.setenv("SPECTRA_PRICES", str(prices))
    spectra.budgets.set("all", cost="0.05 USD", period="total")
    _default.cache_clear()
    try:
        chat(client_of(app, organization="org-8"))
        with pytest.raises(openai.RateLimitError):
            chat(client_of(app, organization="org-7"))
    finally:
        _default.cache_clear()
    assert len(app.ledger) == 1


def test_prices_of_the_configuration_are_reserved_at(
    server: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that only the configuration knows a price of is let through at that, in dollars, and settled."""
    (tmp_path / "prices.yaml").write_text(
        "provider: openai\nprices: [{model: mine, rates: {input: 2.50, output: 10}, currency: EUR}]\n"
    )
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", server.hosts)
    budget = {"budgets": [{"name": "all", "limit": {"cost": "1 USD"}, "period": "total"}]}
    config = {
        "receivers": {"otlp": {"protocols": {"http": None}}},
        "processors": {"usage": None, "cost": {"prices": [f"{tmp_path}/prices.yaml"], "currency": "EUR"}, "budget": budget},
        "exporters": {"duckdb": None},
        "service": {"pipelines": {"traces": {
            "receivers": ["otlp"], "processors": ["usage", "cost", "budget"], "exporters": ["duckdb"],
        }}},
    }  # fmt: skip
    runtime.configure(config, tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        usage = chat(client_of(server), model="mine").usage
        cost = spectra.estimate(
            "openai", "mine", prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens
        )
    finally:
        runtime.shutdown()
        pricing.use(None)
    [row] = spectra.budgets.status("all")
    assert (row.settled_requests, row.unpriced_requests) == (1, 0)
    assert (cost.currency, cost.total_cost_in_cents) == ("USD", row.settled_cost_in_cents)


def test_fit_lowers_the_limit_of_output(app: LocalProvider) -> None:
    """A call that does not fit is sent with the ``max_tokens`` that does."""
    spectra.budgets.set("fit", cost="0.01 USD", period="total", on_exceeded="fit")
    chat(client_of(app), max_tokens=100_000)
    [line] = app.ledger
    assert 16 <= line.request["max_tokens"] < 1000


def test_fit_fits_the_tightest_of_several_budgets(app: LocalProvider) -> None:
    """Whichever of them was looked at last."""
    for name, cost in (("a", "0.008 USD"), ("b", "0.01 USD"), ("c", "0.009 USD")):
        spectra.budgets.set(name, cost=cost, period="total", on_exceeded="fit")
    chat(client_of(app), max_tokens=100_000)
    [line] = app.ledger
    assert 16 <= line.request["max_tokens"] < 1000


def test_fit_holds_for_a_stream_whose_usage_we_ask_for(app: LocalProvider) -> None:
    """The body that is sent has the limit that fits, and asks for usage; the app sees neither."""
    spectra.budgets.set("fit", cost="0.01 USD", period="total", on_exceeded="fit")
    chunks = list(chat(client_of(app), max_tokens=100_000, stream=True))
    [line] = app.ledger
    assert 16 <= line.request["max_tokens"] < 1000
    assert line.request["stream_options"] == {"include_usage": True}
    assert all(chunk.choices for chunk in chunks)


def test_switch_sends_another_model(app: LocalProvider) -> None:
    """A call that does not fit goes to the model that the budget names."""
    spectra.budgets.set("switch", cost="0.005 USD", period="total", on_exceeded="switch:gpt-4o-mini")
    chat(client_of(app), max_tokens=2_000)
    [line] = app.ledger
    assert line.model == "gpt-4o-mini"


@pytest.mark.parametrize("how", [{"match": {"model": "gpt-4o"}}, {"by": ["model"]}])
def test_switch_leaves_the_budget_of_the_model(app: LocalProvider, how: dict[str, Any]) -> None:
    """What is full is the one model's: the other has its own, or none, and is sent."""
    spectra.budgets.set("expensive", requests=1, period="total", on_exceeded="switch:gpt-4o-mini", **how)
    client = client_of(app)
    for _ in range(2):
        chat(client, model="gpt-4o", max_tokens=20)
    assert [line.model for line in app.ledger] == ["gpt-4o", "gpt-4o-mini"]
    if "by" in how:
        with pytest.raises(openai.RateLimitError):
            chat(client, model="gpt-4o", max_tokens=20)
        return
    chat(client, model="gpt-4o", max_tokens=20)
    assert [line.model for line in app.ledger][2:] == ["gpt-4o-mini"]
    spectra.budgets.set("cheap", requests=1, models=["gpt-4o"])
    with pytest.raises(openai.RateLimitError):
        chat(client, model="gpt-4o", max_tokens=20)


def test_a_model_that_is_not_allowed_is_not_called(app: LocalProvider) -> None:
    """A budget that names models lets no other through."""
    spectra.budgets.set("only", cost="10 USD", models=["gpt-4o-mini*"])
    with pytest.raises(openai.RateLimitError, match="does not allow"):
        chat(client_of(app))
    assert app.ledger == []


def test_a_call_without_a_price_is_stopped_or_marked_as_the_budget_says(app: LocalProvider) -> None:
    """``on_unpriced``: blocked by default, counted and marked with ``mark``, at the highest known rate with ``bound``."""
    spectra.budgets.set("b", cost="1 USD")
    with pytest.raises(openai.RateLimitError, match="no price is known"):
        chat(client_of(app), model="no-such-model")
    spectra.budgets.set("b", cost="1 USD", on_unpriced="mark")
    chat(client_of(app), model="no-such-model")
    [row] = spectra.budgets.status("b")
    assert (row.unpriced_requests, row.settled_requests, row.settled_cost_in_cents) == (1, 1, 0)
    spectra.budgets.set("b", cost="1000 USD", on_unpriced="bound")
    chat(client_of(app), model="no-such-model")
    [row] = spectra.budgets.status("b")
    assert row.settled_cost_in_cents > 0


def test_a_stream_that_outgrows_its_lease_is_cut(app: LocalProvider) -> None:
    """A stream without a limit of its own ends where the budget does: the delivered part is settled, and the error says so."""
    spectra.budgets.set("s", tokens=6_000, period="total")
    stream = chat(client_of(app), stream=True, max_tokens=openai.omit, extra_headers={"x-demo-chunks": "9000"})
    with pytest.raises(spectra.BudgetExceededError, match="the stream was cut") as caught:
        for _ in stream:
            pass
    assert caught.value.partial["characters"] > 0
    [row] = spectra.budgets.status("s")
    assert row.reserved_tokens == 0
    assert 0 < row.settled_tokens <= 6_000


def test_a_stream_with_room_is_extended(app: LocalProvider) -> None:
    """The same stream under a wide budget is read to its end, and settled with what it used."""
    spectra.budgets.set("s", tokens=50_000, period="total")
    stream = chat(client_of(app), stream=True, max_tokens=openai.omit, extra_headers={"x-demo-chunks": "9000"})
    assert sum(1 for _ in stream) > 8_000
    [row] = spectra.budgets.status("s")
    assert (row.reserved_tokens, row.settled_requests) == (0, 1)
    assert row.settled_tokens > 8_000


def test_a_disabled_budget_stops_nothing(app: LocalProvider) -> None:
    """``disable`` and ``enable`` work at once in this process; what was counted stays."""
    spectra.budgets.set("one", requests=1)
    client = client_of(app)
    chat(client)
    with pytest.raises(openai.RateLimitError):
        chat(client)
    spectra.budgets.disable("one")
    chat(client)
    assert not spectra.budgets.set("one", requests=1).enabled  # as an app does that starts again
    chat(client)
    spectra.budgets.enable("one")
    with pytest.raises(openai.RateLimitError):
        chat(client)
    [row] = spectra.budgets.status("one")
    assert row.settled_requests == 1


def test_without_a_budget_no_ledger_is_opened(app: LocalProvider, tmp_path: Path) -> None:
    """An app without budgets has no file of them."""
    chat(client_of(app))
    assert book.is_idle()
    assert not list(tmp_path.glob("budgets*"))


def test_a_rewritten_call_says_so_on_its_span(app: LocalProvider) -> None:
    """The event has what it was and what it became."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exported = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    spectra.shutdown()
    spectra.configure(tracer_provider=provider)
    spectra.budgets.set("fit", cost="0.01 USD", period="total", on_exceeded="fit")
    chat(client_of(app), max_tokens=100_000)
    spectra.force_flush()
    [span] = exported.get_finished_spans()
    [event] = [event for event in span.events if event.name == "spectra.budget.rewritten"]
    assert event.attributes is not None
    assert event.attributes["max_tokens.before"] == 100_000
    assert event.attributes["max_tokens.after"] == app.ledger[0].request["max_tokens"]
    assert span.attributes is not None
    assert span.attributes["spectra.budget.name"] == "fit"
    assert span.attributes["spectra.budget.remaining_cents"] > 0  # type: ignore[operator]


def test_an_event_loop_goes_on_while_others_have_the_ledger(app: LocalProvider, held_ledger: Held) -> None:
    """Calls wait until the ledger is free, are counted then, and the loop turns all the while."""
    spectra.budgets.set("five", requests=5, period="total")

    async def main() -> tuple[list[Any], int]:
        turns = 0
        async with openai.AsyncOpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
            call = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=10)
            waiting = asyncio.gather(*[call], return_exceptions=True)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                await asyncio.sleep(0.001)
                turns += 1
            assert not waiting.done()
            assert app.ledger == []
            held_ledger.let_go()
            return await waiting, turns

    held_ledger.hold()
    answers, turns = asyncio.run(main())
    assert not isinstance(answers[0], BaseException)
    assert turns > 30
    [row] = spectra.budgets.status("five")
    assert (row.settled_requests, row.reserved_requests) == (1, 0)


def test_a_tree_budget_holds_where_a_loop_asks_on_a_thread(app: LocalProvider) -> None:
    """The thread that asks the ledger for a loop knows the budgets of the task it asks for."""

    async def main(entry: str) -> Any:
        from opentelemetry import baggage
        from opentelemetry import context as context_api

        context_api.attach(baggage.set_baggage("spectra.budget", entry))  # as it comes by HTTP
        ledger = book.ledger()
        ledger.close()  # type: ignore[attr-defined] # so that it has to be opened, which a loop leaves to a thread
        async with openai.AsyncOpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
            return await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=10)

    entry = f"run:{int(time.time()):x}-0123456789abcdef:::1"
    asyncio.run(main(entry))
    with pytest.raises(openai.RateLimitError, match="budget 'run'"):
        asyncio.run(main(entry))
