"""Records without a cost are priced when the prices come to know their model, whoever opens the store first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.config.load import load
from spectra_otel.config.settings import read_settings
from spectra_otel.errors import StoreBusyError
from spectra_otel.exporters.duckdb import background, reprice
from spectra_otel.exporters.duckdb.config import DuckDBConfig
from spectra_otel.exporters.duckdb.exporter import DuckDBExporter
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.model.store import RepriceResult
from spectra_otel.pipeline import build, shutdown
from spectra_otel.pricing import Cost
from spectra_otel.pricing.calculate import _default as default_prices
from tests.exporters.duckdb.processes import until
from tests.exporters.duckdb.records import record, rollup_differences, spans
from tests.service.running import CHAT, request, running, tree

CENT = Decimal("1.00000000")
PRICE_FILE = """\
provider: openai
page: https://example.com/contract
read: 2026-01-01
prices:
  - {model: gpt-new, rates: {input: 1, output: 2}}
"""


@dataclass
class Prices:
    """A price for each model that is ``known``; counts what it is asked."""

    version: str
    known: set[str]
    asked: list[str] = field(default_factory=list)

    def price(self, row: Mapping[str, Any]) -> Cost:
        self.asked.append(row["id"])
        if row["model"] in self.known:
            return Cost(total_cost_in_cents=CENT, cost_status="priced", price_version=self.version)
        return Cost(cost_status="unpriced", price_version=self.version)


def unpriced(number: int, model: str = "gpt-new", **fields: Any) -> dict[str, Any]:
    return record(number, model=model, total_cost_in_cents=None, cost_status="unpriced", **fields)


def current(store: DuckDBStore) -> dict[str, Decimal | None]:
    """What each record costs by now."""
    return dict(store.query("SELECT response_id, current_cost_in_cents FROM spectra_requests")[1])


def test_new_prices_are_learnt_once(store: DuckDBStore) -> None:
    """All records of the model get their price, the rollups are right, and the same prices change nothing more."""
    store.append([unpriced(0), unpriced(1), unpriced(2, "gpt-newer"), record(3)])
    store.merge_pending()
    result = store.learn_prices(Prices("v1", {"gpt-new"}))
    assert result is not None
    assert result.changed == 2
    assert current(store) == {"chatcmpl-0": CENT, "chatcmpl-1": CENT, "chatcmpl-2": None, "chatcmpl-3": CENT}
    assert rollup_differences(store) == []
    assert store.learn_prices(Prices("v1", {"gpt-new"})) is None


def test_models_that_stay_unknown_cost_next_to_nothing(store: DuckDBStore) -> None:
    """Of a thousand records of an unknown model two are priced, to find out that it is still unknown."""
    store.append(unpriced(number) for number in range(1000))
    store.merge_pending()
    prices = Prices("v1", set())
    result = store.learn_prices(prices)
    assert result is not None
    assert result.changed == 0
    assert len(prices.asked) == 2


def test_what_an_app_with_older_prices_records_meanwhile_is_learnt_too(store: DuckDBStore) -> None:
    """An app that runs on with the prices it started with leaves records unpriced that others know."""
    store.append([record(0)])
    store.merge_pending()
    assert store.learn_prices(Prices("v2", {"gpt-new"})) is not None
    now = datetime.now(UTC)
    store.append([unpriced(1, started_at=now, completed_at=now)])
    store.merge_pending()
    result = store.learn_prices(Prices("v2", {"gpt-new"}))
    assert result is not None
    assert result.changed == 1


@pytest.fixture
def known_by_now(store: DuckDBStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store with a record of a model that a price file knows by now, and one of a model that nobody knows."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.0)
    store.append([unpriced(0), unpriced(1, "gpt-newer")])
    store.merge_pending()
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICE_FILE)
    monkeypatch.setenv("SPECTRA_DB", str(store.path))
    monkeypatch.setenv("SPECTRA_PRICES", str(prices))
    default_prices.cache_clear()  # a process reads them once
    yield
    default_prices.cache_clear()


@pytest.mark.usefixtures("known_by_now")
def test_an_app_prices_what_was_recorded_before_it_knew_the_model(store: DuckDBStore) -> None:
    """The background merge of a configured exporter does so with its first records, by the user's own prices."""
    pipelines = build(load(settings=read_settings()))
    try:
        pipelines[0].export(spans(record(2)))
        assert until(lambda: _learnt(store), 10)
    finally:
        shutdown(pipelines)
    # 100 tokens at $1 and 20 at $2 a million
    assert current(store) == {"chatcmpl-0": Decimal("0.01400000"), "chatcmpl-1": None, "chatcmpl-2": CENT}
    assert store.query("SELECT DISTINCT reason FROM spectra_costs")[1] == [("unpriced",)]


@pytest.mark.usefixtures("known_by_now")
def test_so_does_a_collector(store: DuckDBStore) -> None:
    """With the first spans that it takes."""
    with running(tree({"duckdb": {"path": str(store.path)}}, {"usage": None, "cost": None})) as collector:
        assert collector.post(request(CHAT).SerializeToString()).status == 200
        assert until(lambda: _learnt(store), 10)
    assert current(store)["chatcmpl-0"] == Decimal("0.01400000")


def test_prices_are_learnt_when_the_file_is_free_again(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question holds the file while the app would learn: it comes again, though nothing more is recorded."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.0)
    store.append([unpriced(0)])
    store.merge_pending()
    results: list[RepriceResult | None] = []
    learn = reprice.learn

    def at_first_in_use(access: reprice.Access, prices: Prices) -> RepriceResult | None:
        results.append(learn(access, prices) if results else None)
        if len(results) == 1:
            raise StoreBusyError("in use")
        return results[-1]

    monkeypatch.setattr(reprice, "learn", at_first_in_use)
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    exporter.learn_from(Prices("v1", {"gpt-new"}))
    exporter.export(spans(record(1)))
    assert until(lambda: len(results) > 1, 10)
    exporter.shutdown()
    assert current(store)["chatcmpl-0"] == CENT


def test_an_app_that_ends_does_not_wait_for_prices(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand records that take a second to price: the thread ends with the one it is at, and the next process goes on."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.0)
    store.append(unpriced(number) for number in range(1000))
    store.merge_pending()
    prices = Prices("v1", {"gpt-new"})
    price = prices.price

    def slowly(row: Mapping[str, Any]) -> Cost:
        time.sleep(0.01)
        return price(row)

    monkeypatch.setattr(prices, "price", slowly)
    exporter = DuckDBExporter(DuckDBConfig(path=str(store.path)))
    exporter.learn_from(prices)
    exporter.export(spans(record(2000)))
    assert until(lambda: len(prices.asked) > 5, 10)
    exporter.shutdown()
    assert len(prices.asked) < 500
    assert until(lambda: not any(thread.name == "spectra-merge" for thread in threading.enumerate()), 2)
    assert current(store)["chatcmpl-0"] is None
    assert store.learn_prices(Prices("v1", {"gpt-new"})) is not None
    assert current(store)["chatcmpl-0"] == CENT


def _learnt(store: DuckDBStore) -> bool:
    return bool(store.query("SELECT count(*) FROM spectra_costs")[1][0][0])
