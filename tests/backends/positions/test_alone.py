"""spectra collect alone, in front of Jaeger, Zipkin, Prometheus and a receiver of OTLP such as Tempo's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.backends.positions.programs import (
    CHAT_COST,
    CONFIGS,
    COST,
    JAEGER,
    PROMETHEUS,
    ROTEL,
    ZIPKIN,
    Sent,
    address,
    attributes_by_id,
    fetch,
    free_port,
    listening,
    needs,
    program,
    shop,
    spectra_collect,
    stored,
    until,
    url,
)
from tests.exporters.servers import Received, http_server

HERE = Path(__file__).parent


class Alone:
    """docs/configs/alone-spectra.yaml on ports of its own; what a test does not start is away, as a backend can be."""

    def __init__(self, folder: Path, tempo: Received) -> None:
        self.folder, self.tempo = folder, tempo
        self.http, self.jaeger, self.zipkin, self.metrics, self.own, self.health = (free_port() for _ in range(6))

    @contextmanager
    def run(self) -> Iterator[Sent]:
        """Run it, and send a trace, which has reached the OTLP receiver when the block begins."""
        collector = spectra_collect(
            self.folder,
            self.http,
            "alone-spectra.yaml",
            JAEGER=address(self.jaeger),
            ZIPKIN=url(self.zipkin),
            TEMPO=self.tempo.endpoint,
            PROMETHEUS_EXPORTER=address(self.metrics),
            SPECTRA_METRICS=address(self.own),
            HEALTH=address(self.health),
        )
        with collector:
            (sent,) = shop(url(self.http))
            until(lambda: len(self.tempo.spans) >= 2)
            yield sent


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    with http_server() as tempo:
        yield Alone(tmp_path, tempo)


class TestOtlp:
    """A receiver of OTLP, such as Tempo's."""

    pytestmark = pytest.mark.backend

    def test_it_gets_everything_while_all_others_are_away(self, alone: Alone) -> None:
        """Under Tempo's path and tenant header, priced; three dead backends hold nothing up, and the store has the call."""
        with alone.run() as sent:
            health = fetch(url(alone.health))
        assert health["status"] == "Server available"
        spans = attributes_by_id(alone.tempo)
        assert set(spans) == {sent.chat, sent.checkout}
        assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)
        assert set(alone.tempo.paths) == {"/v1/traces"}
        assert {headers["x-scope-orgid"] for headers in alone.tempo.headers} == {"team-a"}
        assert [row["trace_id"] for row in stored(alone.folder)] == [sent.trace_id]


class TestJaeger:
    pytestmark = needs(JAEGER)

    def test_the_cost_is_on_the_span(self, alone: Alone) -> None:
        """As Jaeger's API has it: a tag of the type float64."""
        query = free_port()
        ports = {
            "JAEGER_QUERY": address(query),
            "JAEGER_QUERY_GRPC": address(free_port()),
            "JAEGER_OTLP": address(alone.jaeger),
        }
        command = [JAEGER, "--config", HERE / "jaeger.yaml"]
        with program(command, alone.folder / "jaeger", listening(alone.jaeger), ports), alone.run() as sent:
            until(lambda: len(self.spans(query, sent)) >= 2)
            spans = self.spans(query, sent)
        tags = {tag["key"]: tag for tag in spans[sent.chat]["tags"]}
        assert (tags[COST]["type"], tags[COST]["value"]) == ("float64", pytest.approx(CHAT_COST))
        assert tags["gen_ai.usage.cost.currency"]["value"] == "USD"
        assert COST not in {tag["key"] for tag in spans[sent.checkout]["tags"]}
        assert spans[sent.chat]["references"][0]["spanID"] == sent.checkout

    def spans(self, query: int, sent: Sent) -> dict[str, Any]:
        found = fetch(f"{url(query)}/api/traces/{sent.trace_id}") or {}
        return {span["spanID"]: span for trace in found.get("data") or [] for span in trace["spans"]}


class TestZipkin:
    pytestmark = needs(ZIPKIN)

    def test_the_cost_is_on_the_span(self, alone: Alone) -> None:
        """As Zipkin's API has it: a tag, which is text."""
        ports = [f"--armeria.ports[0].{name}" for name in (f"port={alone.zipkin}", "ip=127.0.0.1", "protocols[0]=http")]
        command = ["java", "-Xmx256m", "-jar", ZIPKIN, *ports]
        ready = listening(alone.zipkin)
        with program(command, alone.folder / "zipkin", ready), alone.run() as sent:
            where = f"{url(alone.zipkin)}/api/v2/trace/{sent.trace_id}"
            found = until(lambda: (spans := fetch(where)) and len(spans) >= 2 and spans)
        spans = {span["id"]: span for span in found}
        assert float(spans[sent.chat]["tags"][COST]) == pytest.approx(CHAT_COST)
        assert spans[sent.chat]["tags"]["gen_ai.usage.cost.currency"] == "USD"
        assert spans[sent.chat]["parentId"] == sent.checkout
        assert spans[sent.chat]["localEndpoint"]["serviceName"] == "shop"
        assert COST not in spans[sent.checkout]["tags"]


class TestPrometheus:
    pytestmark = needs(PROMETHEUS)

    def test_it_scrapes_what_calls_cost(self, alone: Alone) -> None:
        """Cost by model, the tokens of the semantic conventions, and what the collector says of itself."""
        port, folder = free_port(), alone.folder / "prometheus"
        folder.mkdir()
        config = folder / "prometheus.yaml"
        text = (CONFIGS / "prometheus.yaml").read_text()
        for shown, used in ((8889, alone.metrics), (8888, alone.own)):
            text = text.replace(f"localhost:{shown}", address(used))
        config.write_text(text.replace("15s", "1s"))
        command = [
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address(port)}",
        ]
        with alone.run(), program(command, folder, listening(port)):
            (cost,) = until(lambda: self.values(port, "spectra_cost_total"))
            tokens = until(lambda: self.values(port, "gen_ai_client_token_usage_sum"))
            accepted = until(lambda: self.values(port, "otelcol_receiver_accepted_spans"))
        assert float(cost["value"][1]) == pytest.approx(CHAT_COST)
        assert (cost["metric"]["gen_ai_request_model"], cost["metric"]["currency"]) == ("gpt-4o", "USD")
        assert sum(float(series["value"][1]) for series in accepted) == 2
        by_type = {series["metric"]["gen_ai_token_type"]: float(series["value"][1]) for series in tokens}
        assert by_type == {"input": 1000, "output": 100}

    def values(self, port: int, query: str) -> list[dict[str, Any]]:
        found = fetch(f"{url(port)}/api/v1/query?query={quote(query)}") or {}
        series: list[dict[str, Any]] = found.get("data", {}).get("result", [])
        return series


class TestRotel:
    """rotel: OTLP written by others in another language, before us and behind us."""

    pytestmark = needs(ROTEL)

    @pytest.mark.parametrize("protocol", ["http", "grpc"])
    def test_it_feeds_spectra(self, protocol: str, alone: Alone) -> None:
        """What rotel sends over OTLP, on either protocol, is taken, priced and passed on."""
        spectra_grpc, port = free_port(), free_port()
        collector = spectra_collect(
            alone.folder,
            alone.http,
            "plugins-spectra.yaml",
            SPECTRA_GRPC=address(spectra_grpc),
            BACKEND=alone.tempo.endpoint,
        )
        target = url(alone.http if protocol == "http" else spectra_grpc)
        with collector, rotel(alone.folder, port, target, protocol):
            (sent,) = shop(url(port))
            until(lambda: len(alone.tempo.spans) >= 2)
        spans = attributes_by_id(alone.tempo)
        assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)

    def test_it_takes_what_spectra_sends(self, alone: Alone) -> None:
        """Priced spans go through rotel, as a backend of ours, to the receiver behind it."""
        port, http = free_port(), free_port()
        collector = spectra_collect(alone.folder, http, "plugins-spectra.yaml", BACKEND=url(port))
        with rotel(alone.folder, port, alone.tempo.endpoint, "http"), collector:
            (sent,) = shop(url(http))
            until(lambda: len(alone.tempo.spans) >= 2)
        spans = attributes_by_id(alone.tempo)
        assert spans[sent.chat][COST] == pytest.approx(CHAT_COST)


def rotel(folder: Path, port: int, target: str, protocol: str) -> Any:
    """rotel between OTLP/HTTP on ``port`` and ``target``."""
    options = {
        "otlp-http-endpoint": address(port),
        "otlp-grpc-endpoint": address(free_port()),
        "exporter": "otlp",
        "otlp-exporter-endpoint": target,
        "otlp-exporter-protocol": protocol,
        "batch-timeout": "100ms",
        "pid-file": str(folder / "rotel.pid"),
    }
    command = [ROTEL, "start", *(part for name, value in options.items() for part in (f"--{name}", value))]
    return program(command, folder / "rotel", listening(port))
