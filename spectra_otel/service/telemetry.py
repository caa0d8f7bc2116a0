"""The collector's own metrics, under the OpenTelemetry Collector's names, so that its dashboards and alerts work."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from spectra_otel.otlp.signals import SIGNALS, Signal
from spectra_otel.service.exposition import Labels, Metrics, labels

if TYPE_CHECKING:
    from spectra_otel.service.delivery import Outcome

_RECEIVED = ("accepted", "refused", "failed")
_EXPORTED = ("sent", "send_failed", "enqueue_failed")
_DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_BOUNDS = (10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000)


class Telemetry:
    """Counts what receivers, processors and exporters do."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self._begun: set[tuple[Signal, Labels]] = set()
        declare = self.metrics.declare
        for signal in SIGNALS.values():
            item, words = signal.item, signal.item.replace("_", " ")
            for what in _RECEIVED:
                declare(f"otelcol_receiver_{what}_{item}", "counter", f"Number of {words} {what} by the receiver.")
            for what in _EXPORTED:
                declare(f"otelcol_exporter_{what}_{item}", "counter", f"Number of {words} {what.replace('_', ' ')}.")
        declare("otelcol_receiver_requests", "counter", "Number of requests, by outcome.")
        declare("otelcol_processor_incoming_items", "counter", "Number of items passed to the processor.")
        declare("otelcol_processor_outgoing_items", "counter", "Number of items emitted by the processor.")
        declare(
            "otelcol_processor_internal_duration",
            "histogram",
            "Seconds a processor took for a batch.",
            _DURATION_BOUNDS,
        )
        declare(
            "otelcol_processor_batch_batch_send_size", "histogram", "Items of a batch that was sent.", _BATCH_BOUNDS
        )
        declare("otelcol_processor_batch_timeout_trigger_send", "counter", "Batches sent because time was up.")
        declare("otelcol_processor_batch_batch_size_trigger_send", "counter", "Batches sent because they were full.")
        watch_process(self.metrics)

    def received(self, receiver: str, transport: str, signal: Signal, items: int, outcome: str) -> None:
        """A request was answered; ``outcome`` is accepted, refused (try again) or failed."""
        key = labels({"receiver": receiver, "transport": transport})
        self._begin("receiver", _RECEIVED, signal, key)
        self.metrics.add(f"otelcol_receiver_{outcome}_{signal.item}", items, key)
        word = {"accepted": "success", "refused": "refused", "failed": "failure"}[outcome]
        self.metrics.add("otelcol_receiver_requests", 1, (*key[:1], ("outcome", word), *key[1:]))

    def answered(self, receiver: str, transport: str, signal: Signal, items: int, outcome: Outcome) -> None:
        """The same, by what became of the request; spans that were rejected for good are failed ones."""
        what = "accepted" if outcome.error is None else "refused" if outcome.is_transient else "failed"
        self.received(receiver, transport, signal, items - outcome.rejected, what)
        if outcome.rejected:
            key = labels({"receiver": receiver, "transport": transport})
            self.metrics.add(f"otelcol_receiver_failed_{signal.item}", outcome.rejected, key)

    def processed(self, processor: str, pipeline: str, incoming: int, outgoing: int, seconds: float) -> None:
        """A processor was given a batch."""
        key = labels({"otel_signal": pipeline.partition("/")[0], "pipeline": pipeline, "processor": processor})
        self.metrics.add("otelcol_processor_incoming_items", incoming, key)
        self.metrics.add("otelcol_processor_outgoing_items", outgoing, key)
        self.metrics.observe("otelcol_processor_internal_duration", seconds, key)

    def batched(self, processor: str, items: int, is_full: bool) -> None:
        """The batch processor let a batch go."""
        key = labels({"processor": processor})
        self.metrics.observe("otelcol_processor_batch_batch_send_size", items, key)
        trigger = "batch_size" if is_full else "timeout"
        self.metrics.add(f"otelcol_processor_batch_{trigger}_trigger_send", 1, key)

    def exported(self, exporter: str, signal: Signal, items: int, outcome: str) -> None:
        """``outcome`` is sent, send_failed or enqueue_failed."""
        key = labels({"exporter": exporter})
        self._begin("exporter", _EXPORTED, signal, key)
        self.metrics.add(f"otelcol_exporter_{outcome}_{signal.item}", items, key)

    def _begin(self, kind: str, outcomes: Iterable[str], signal: Signal, key: Labels) -> None:
        """The other outcomes of a component are 0 from its first on: a rate of a series that is not there is no number."""
        if (signal, key) not in self._begun:
            self._begun.add((signal, key))
            for outcome in outcomes:
                self.metrics.add(f"otelcol_{kind}_{outcome}_{signal.item}", 0, key)


def watch_process(metrics: Metrics) -> None:
    """Uptime, processor time and memory of this process."""
    from spectra_otel.pricing.catalog import catalog_age

    began = time.monotonic()

    def only(value: float) -> Iterable[tuple[Labels, float]]:
        return [((), value)]

    target = labels(
        {"service_name": "spectra", "service_version": version("spectra-otel"), "service_instance_id": uuid4()}
    )
    metrics.watch("target_info", "gauge", "Target metadata.", lambda: [(target, 1)])
    metrics.watch("otelcol_process_uptime", "counter", "Uptime in seconds.", lambda: only(time.monotonic() - began))
    metrics.watch(
        "otelcol_process_cpu_seconds", "counter", "CPU seconds, user and system.", lambda: only(sum(os.times()[:2]))
    )
    metrics.watch("spectra_price_catalog_age_days", "gauge", "Age of the price catalog.", lambda: only(catalog_age()))
    metrics.watch("otelcol_process_memory_rss", "gauge", "Resident memory in bytes.", lambda: only(resident_bytes()))


def resident_bytes() -> int:
    """The memory this process has now; where the system does not tell, the most it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
