"""The `cost` processor: what a record costs, and where that is written."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import opentelemetry.metrics
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from spectra_otel.component import ComponentID
from spectra_otel.errors import ConfigError
from spectra_otel.model.record import TrackedRequest
from spectra_otel.model.spans import Handoff, TrackedSpan
from spectra_otel.pricing import catalog, estimate
from spectra_otel.processors.cost import metrics
from spectra_otel.processors.cost.config import Config
from spectra_otel.processors.cost.factory import factory
from spectra_otel.processors.cost.processor import CostProcessor
from spectra_otel.processors.usage.processor import UsageProcessor
from tests.made_spans import made

LATER = datetime(2030, 1, 1, tzinfo=UTC)
SCOPE = "opentelemetry.instrumentation.genai.openai"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 500,
    "gen_ai.usage.cache_read.input_tokens": 400,
}
PRICE = estimate("openai", "gpt-4o-mini-2024-07-18", prompt_tokens=1000, completion_tokens=500, cached_tokens=400)


def priced(
    attributes: dict[str, Any] | None = None, *, scope: str = SCOPE, wire: dict[str, Any] | None = None, **span: Any
) -> tuple[TrackedSpan, TrackedRequest]:
    """One span through `usage` and `cost`; ``wire`` is what an instrumentor of ours handed over."""
    handoff, made_span = Handoff(), made(scope, CALL if attributes is None else attributes, **span)
    assert made_span.context is not None
    if wire is not None:
        handoff.leave(made_span.context, wire)
    (done,) = CostProcessor().process(UsageProcessor(handoff=handoff).process([made_span]))
    assert isinstance(done, TrackedSpan)
    assert done.record is not None
    return done, done.record


def test_a_record_is_priced_exactly() -> None:
    """The amounts are those of the catalog, and the current cost is the recorded one."""
    _, record = priced()
    assert record["total_cost_in_cents"] == PRICE.total_cost_in_cents
    assert record["total_cost_in_cents"] == record["prompt_cost_in_cents"] + record["completion_cost_in_cents"]
    assert (record["cost_status"], record["current_cost_status"], record["currency"]) == ("priced", "priced", "USD")
    assert record["current_cost_in_cents"] == record["total_cost_in_cents"]
    assert record["price_id"]
    assert record["price_version"]


def test_the_cost_is_on_the_span() -> None:
    """In the conventions' names and in ours; nano dollars are a whole number."""
    span, _ = priced()
    found, cents = span.attributes or {}, PRICE.total_cost_in_cents
    assert cents is not None
    assert found["gen_ai.usage.cost.amount"] == float(cents / 100)
    assert (found["gen_ai.usage.cost.currency"], found["gen_ai.usage.cost.source"]) == ("USD", "local")
    assert found["spectra.cost_cents"] == float(cents)
    assert found["spectra.cost_nano_usd"] == int(cents * 10_000_000)
    assert found["spectra.cost.status"] == "priced"


def test_a_roll_up_bears_no_cost() -> None:
    """Nothing is added to an agent's span."""
    agent = made("agent_framework", {**CALL, "gen_ai.operation.name": "invoke_agent"})
    (done,) = CostProcessor().process(UsageProcessor().process([agent]))
    assert not [key for key in done.attributes or {} if "cost" in key]


def test_an_update_is_priced_and_not_written_on_its_span() -> None:
    """A later span of a response gives the record its cost; only the first span may show one."""
    usage, cost = UsageProcessor(), CostProcessor()
    parent = made(SCOPE, {k: v for k, v in CALL.items() if "usage" not in k}, id=1, trace=7, end=10)
    child = made("spectra_otel", CALL, parent=1, trace=7, end=90)
    (first,) = cost.process(usage.process([parent]))
    (update,) = cost.process(usage.process([child]))
    assert isinstance(first, TrackedSpan)
    assert isinstance(update, TrackedSpan)
    assert first.record is not None
    assert update.record is not None
    assert (first.record["cost_status"], first.record["total_cost_in_cents"]) == ("unpriced", None)
    assert update.record["total_cost_in_cents"] == PRICE.total_cost_in_cents
    assert "gen_ai.usage.cost.amount" not in (update.attributes or {})


def test_the_served_model_is_priced() -> None:
    """Where its name has no price and the requested one has, the cost is an estimate."""
    _, record = priced({**CALL, "gen_ai.response.model": "gpt-4o-mini-served-by-a-gateway"})
    assert record["total_cost_in_cents"] == PRICE.total_cost_in_cents
    assert record["cost_status"] == "estimated"


def test_bedrock_is_priced_by_the_id_that_was_asked() -> None:
    """Its region stands there and costs a tenth more than the model's name in the answer says."""
    wire = {
        "provider": "bedrock", "snapshot": "claude-sonnet-4-5-20250929", "prompt_tokens": 1000, "completion_tokens": 100,
        "cached_tokens": 0, "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    }  # fmt: skip
    _, record = priced(wire=wire)
    assert (record["total_cost_in_cents"], record["cost_status"]) == (Decimal("0.495"), "priced")
    _, record = priced(wire={**wire, "model": "arn:aws:bedrock:us-east-1:1:application-inference-profile/own"})
    assert (record["total_cost_in_cents"], record["cost_status"]) == (Decimal("0.45"), "estimated")


def test_an_unknown_model_has_no_cost() -> None:
    """Not known is NULL, never 0, and the span says so."""
    span, record = priced({**CALL, "gen_ai.request.model": "nobodys-model", "gen_ai.response.model": "nobodys-model"})
    assert (record["total_cost_in_cents"], record["cost_status"]) == (None, "unpriced")
    assert "gen_ai.usage.cost.amount" not in (span.attributes or {})
    assert (span.attributes or {})["spectra.cost.status"] == "unpriced"


def test_a_floor_says_that_it_is_one() -> None:
    """Uncached input and output are known, cached input is not: what is known is priced."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5",
                  "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}  # fmt: skip
    _, record = priced(attributes, scope="openlit.otel.tracing")
    floor = estimate("anthropic", "claude-sonnet-4-5", prompt_tokens=1000, completion_tokens=500)
    assert (record["prompt_tokens"], record["cost_status"]) == (None, "partial")
    assert record["total_cost_in_cents"] == floor.total_cost_in_cents


def test_cached_tokens_that_nobody_counted_make_an_estimate() -> None:
    """openai-v2 counts no cached tokens: the cost is that of the full rate, and says that it is an estimate."""
    _, record = priced(
        {**{k: v for k, v in CALL.items() if "cache" not in k}, "gen_ai.usage.input_tokens": 2000},
        scope="opentelemetry.instrumentation.openai_v2",
    )
    assert record["cost_status"] == "estimated"


def test_the_providers_own_figure_is_the_cost() -> None:
    """Ours stands beside it."""
    wire = {"prompt_tokens": 1000, "completion_tokens": 500, "cached_tokens": 400, "cost_status": "provider",
            "cost_source": "provider", "total_cost_in_cents": Decimal("0.5")}  # fmt: skip
    span, record = priced(wire=wire)
    assert (record["total_cost_in_cents"], record["cost_status"]) == (Decimal("0.5"), "provider")
    assert record["estimated_cost_in_cents"] == PRICE.total_cost_in_cents
    assert (span.attributes or {})["gen_ai.usage.cost.source"] == "provider"


def test_what_providers_say_beyond_the_catalog_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """In cents, by provider; beside it the age of the catalog in days."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(opentelemetry.metrics, "get_meter", provider.get_meter)
    monkeypatch.setattr(catalog, "datetime", type("Later", (datetime,), {"now": staticmethod(lambda _: LATER)}))
    metrics.difference.cache_clear()
    wire = {"prompt_tokens": 1000, "completion_tokens": 500, "cached_tokens": 400, "cost_status": "provider",
            "total_cost_in_cents": Decimal("0.5")}  # fmt: skip
    for _ in range(2):
        priced(wire=wire)
    priced(wire={**wire, "total_cost_in_cents": Decimal("0.5"), "currency": "EUR"})
    priced()
    data = reader.get_metrics_data()
    metrics.difference.cache_clear()
    assert data is not None
    scope = data.resource_metrics[0].scope_metrics[0]
    found: dict[str, Any] = {metric.name: metric.data.data_points for metric in scope.metrics}
    [point] = found["spectra.cost.difference"]
    assert point.attributes == {"gen_ai.provider.name": "openai"}
    assert point.value == pytest.approx(2 * float(Decimal("0.5") - (PRICE.total_cost_in_cents or 0)))
    assert [point.value for point in found["spectra.price.catalog.age"]] == [
        (LATER.date() - catalog.shipped_catalog().date).days
    ]


def test_a_span_priced_upstream_is_not_priced_again() -> None:
    """A pipeline before this one has written the cost: it stays, whatever our catalog says."""
    attributes = {**CALL, "gen_ai.usage.cost.amount": 0.0123, "gen_ai.usage.cost.source": "local",
                  "spectra.cost.status": "estimated", "spectra.cost.source": "override"}  # fmt: skip
    _, record = priced(attributes)
    assert record["total_cost_in_cents"] == Decimal("1.23000000")
    assert (record["cost_status"], record["cost_source"]) == ("estimated", "override")


@pytest.mark.parametrize(
    ("error", "attributes", "status", "total"),
    [
        ("Error code: 429 - slow down", {}, "not_billed", Decimal(0)),
        ("Error code: 500 - sorry", {}, "billed_unknown", None),
        ("it broke", {}, "billed_unknown", None),
        ("it broke", {"http.response.status_code": 401}, "not_billed", Decimal(0)),
        ("it broke", {"error.type": "botocore.errorfactory.ThrottlingException"}, "not_billed", Decimal(0)),
        ("<_InactiveRpcError of RPC with: status = StatusCode.INVALID_ARGUMENT>", {}, "not_billed", Decimal(0)),
        ("<_InactiveRpcError of RPC with: status = StatusCode.INTERNAL>", {}, "billed_unknown", None),
    ],
)
def test_failed_calls(error: str, attributes: dict[str, Any], status: str, total: Decimal | None) -> None:
    """A refusal is not billed; what broke on the way may have been, and nobody knows for how much."""
    without_usage = {key: value for key, value in CALL.items() if "usage" not in key}
    _, record = priced({**without_usage, **attributes}, error=error)
    assert (record["cost_status"], record["total_cost_in_cents"]) == (status, total)


def test_a_failed_call_with_usage_is_priced() -> None:
    """A stream that broke in the middle was billed for what it brought."""
    _, record = priced(error="connection reset")
    assert record["total_cost_in_cents"] == PRICE.total_cost_in_cents


def test_what_the_instrumentor_says_of_a_failure_stands() -> None:
    """It saw the wire: billed or not is its word, with the bound it knows."""
    wire = {"is_failed": True, "status_code": 504, "cost_status": "billed_unknown", "upper_bound_in_cents": Decimal(3)}
    _, record = priced({k: v for k, v in CALL.items() if "usage" not in k}, wire=wire)
    assert (record["cost_status"], record["total_cost_in_cents"]) == ("billed_unknown", None)
    assert record["upper_bound_in_cents"] == Decimal(3)


def test_an_aborted_stream_is_an_estimate() -> None:
    """Its usage was counted by us."""
    _, record = priced(wire={"prompt_tokens": 1000, "completion_tokens": 5, "is_aborted": True})
    assert record["cost_status"] == "estimated"
    assert record["total_cost_in_cents"] > 0


def test_contradictory_usage_is_never_priced() -> None:
    """More cached than input: no cost, and the reason."""
    _, record = priced({**CALL, "gen_ai.usage.cache_read.input_tokens": 1001})
    assert (record["cost_status"], record["total_cost_in_cents"]) == ("unpriced", None)
    assert record["error_type"] == "usage_inconsistent"


def test_a_price_file_that_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    """Not at the first call, but when the pipeline is built; the message names the setting."""
    with pytest.raises(ConfigError, match=r"prices: .*missing.yaml: "):
        CostProcessor(Config(prices=[str(tmp_path / "missing.yaml")]))


@pytest.mark.parametrize("config", [Config(prices=["", "x"]), Config(prices="x.yaml"), Config(currency="EURO")])  # type: ignore[arg-type]
def test_bad_settings_are_refused(config: Config) -> None:
    """One line names the setting and what it must be."""
    with pytest.raises(ConfigError, match=r"(prices|currency): must be .*, got "):
        config.validate()


def test_the_factory_makes_it() -> None:
    """It enriches: the app's own exporters get the cost."""
    made_by = factory()
    assert made_by.enriches
    assert isinstance(made_by.create(ComponentID("cost"), made_by.default_config()), CostProcessor)
