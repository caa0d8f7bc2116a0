"""Sends requests through a transport: at once or through the queue, again where that can help."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from spectra_otel import faults
from spectra_otel.otlp.protobuf import split
from spectra_otel.otlp.signals import TRACES, Signal
from spectra_otel.otlp.transport import SendError, Transport
from spectra_otel.service.logs import fields
from spectra_otel.service.sending.config import SendingSettings
from spectra_otel.service.sending.disk_queue import DiskQueue, QueueFullError, Waiting

if TYPE_CHECKING:
    from spectra_otel.service.telemetry import Telemetry

_BLOCK_SECONDS = 30.0
_DRAIN_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Sender:
    """One exporter's way out.

    Args:
        name: The exporter's id.
        folder: Where the queue is kept.
    """

    def __init__(
        self, name: str, transport: Transport, settings: SendingSettings, folder: Path, telemetry: Telemetry
    ) -> None:
        self.name = name
        self._transport = transport
        self._retry = settings.retry_on_failure
        self._settings = settings.sending_queue
        self._telemetry = telemetry
        self._stopping = Event()
        self._in_trouble = False
        self._queue: DiskQueue | None = None
        self._consumers: list[Thread] = []
        self._under_way = 0
        self._gathering = Lock()
        if self._settings.enabled:
            self._queue = DiskQueue(folder, self._settings.queue_size, self._settings.sizer)
            self._start_consumers()
            self._watch(self._queue)

    def offer(self, signal: Signal, body: bytes, items: int) -> None:
        """Queue a request, or send it where there is no queue.

        Raises :class:`QueueFullError`, the :class:`OSError` of a disk that is full, or :class:`SendError`.
        """
        if self._queue is None:
            self._send(signal, body, items)
            return
        try:
            patience = _BLOCK_SECONDS if self._settings.block_on_overflow else 0.0
            self._queue.put(signal, body, items, patience=patience)
        except (QueueFullError, OSError) as error:
            self._telemetry.exported(self.name, signal, items, "enqueue_failed")
            about = fields("exporter", self.name, error=str(error), rejected_items=items)
            _log.error("Exporting failed. Rejecting data.", extra=about)
            raise

    def stop(self) -> None:
        """Send what can be sent soon; the rest stays on disk for the next start."""
        if self._queue is not None:
            if not self._in_trouble:
                self._queue.wait_until_idle(_DRAIN_SECONDS)
            self._queue.close()
        self._stopping.set()
        ends = time.monotonic() + _DRAIN_SECONDS  # for all of them: a backend that hangs holds each
        for consumer in self._consumers:
            consumer.join(max(0.0, ends - time.monotonic()))
        if self._queue is not None:
            self._queue.release()
        self._transport.close()

    def _start_consumers(self) -> None:
        for number in range(self._settings.num_consumers):
            consumer = Thread(target=self._consume, name=f"spectra-send-{self.name}-{number}", daemon=True)
            consumer.start()
            self._consumers.append(consumer)

    def _watch(self, queue: DiskQueue) -> None:
        key = (("exporter", self.name),)
        metrics = self._telemetry.metrics
        metrics.watch("otelcol_exporter_queue_size", "gauge", "Current size of the queue.", lambda: [(key, queue.size)])
        metrics.watch("otelcol_exporter_queue_capacity", "gauge", "Size it may have.", lambda: [(key, queue.limit)])
        metrics.watch(
            "otelcol_exporter_in_flight_requests", "gauge", "Requests being sent.", lambda: [(key, self._under_way)]
        )

    def _consume(self) -> None:
        assert self._queue is not None
        while items := self._next(self._queue):
            try:
                is_done = self._deliver(items)
            except Exception as error:  # those behind it are sent all the same; it is tried again at the next start
                faults.report(f"exporter {self.name}, a request stays in its queue", error)
                is_done = False
            if is_done:
                for item in items:
                    self._queue.done(item)

    def _next(self, queue: DiskQueue) -> list[Waiting]:
        """What is sent as one request; nothing when the queue was closed."""
        if self._settings.batch is not None:
            with self._gathering:  # two at a time would take each other's company away
                return queue.take_batch(self._settings.batch)
        item = queue.take()
        return [] if item is None else [item]

    def _deliver(self, items: Sequence[Waiting]) -> bool:
        """Whether the requests are dealt with; False leaves them on disk."""
        signal = items[0].signal
        self._under_way += len(items)
        try:
            for body, count in self._parts(signal, items):
                try:
                    self._send(signal, body, count)
                except SendError:
                    if self._stopping.is_set():
                        return False
        finally:
            self._under_way -= len(items)
        return True

    def _parts(self, signal: Signal, items: Sequence[Waiting]) -> list[tuple[bytes, int]]:
        """Requests of a signal, written one after the other, are one request; of traces, none is larger than the largest."""
        bodies: list[bytes] = []
        count = 0
        for item in items:
            try:
                bodies.append(item.read())
                count += item.items
            except OSError as error:
                _log.error("exporter %s: %s cannot be read: %s", self.name, item.path.name, error.strerror)
        body, batch = b"".join(bodies), self._settings.batch
        if batch is not None and signal is TRACES and batch.sizer == "items" and 0 < batch.max_size < count:
            return split(body, batch.max_size)
        return [(body, count)] if bodies else []

    def _send(self, signal: Signal, body: bytes, items: int) -> None:
        """Send, and again as long as that can help and time is left. Raises :class:`SendError`."""
        began, interval = time.monotonic(), float(self._retry.initial_interval)
        while True:
            try:
                self._transport.send(signal, body)
            except SendError as error:
                pause = max(self._jittered(interval), error.retry_after)
                if not self._is_worth_it(error, began, pause):
                    self._give_up(signal, items, error)
                    raise
                self._say_once(error, pause)
                if self._stopping.wait(pause):
                    raise
                interval = min(interval * self._retry.multiplier, float(self._retry.max_interval))
                continue
            self._in_trouble = False
            self._telemetry.exported(self.name, signal, items, "sent")
            return

    def _is_worth_it(self, error: SendError, began: float, pause: float) -> bool:
        if not (error.is_transient and self._retry.enabled):
            return False
        longest = float(self._retry.max_elapsed_time)
        return not longest or time.monotonic() - began + pause <= longest

    def _jittered(self, interval: float) -> float:
        return interval * random.uniform(1 - self._retry.randomization_factor, 1 + self._retry.randomization_factor)

    def _give_up(self, signal: Signal, items: int, error: SendError) -> None:
        if self._stopping.is_set() and error.is_transient and self._queue is not None:
            return
        self._telemetry.exported(self.name, signal, items, "send_failed")
        about = fields("exporter", self.name, error=str(error), dropped_items=items, **{"otelcol.signal": signal.name})
        _log.error("Exporting failed. Dropping data.", extra=about)

    def _say_once(self, error: SendError, pause: float) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            about = fields("exporter", self.name, error=str(error), interval=f"{pause:.1f}s")
            _log.warning("Exporting failed. Will retry the request after interval.", extra=about)
