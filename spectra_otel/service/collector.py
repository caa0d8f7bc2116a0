"""The stand-alone collector: receivers, lanes, exporters and extensions of one document, started and stopped in order.

As in the OpenTelemetry Collector: every pipeline has its own instance of a processor, pipelines share receivers and exporters,
exporters start first and receivers last, and it stops in the reverse order, so that nothing that was accepted is left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

from spectra_otel import pipeline
from spectra_otel.component import ComponentID, Kind, Processor
from spectra_otel.config.document import Component, Document, PipelineSpec
from spectra_otel.config.telemetry import TelemetrySettings
from spectra_otel.errors import ConfigError
from spectra_otel.model.home import home, wanted_home
from spectra_otel.otlp.signals import SIGNALS, TRACES, Signal
from spectra_otel.otlp.transport import TakesHeaders
from spectra_otel.pipeline import BuiltExporter, GuardedProcessor
from spectra_otel.sdk.span_export import SpanSettings, change_of
from spectra_otel.service.delivery import ACCEPTED, Authenticator, Outcome, Payload, Receiver, Room
from spectra_otel.service.exposition import CONTENT_TYPE, SmallServer
from spectra_otel.service.lane import Job, Lane, Step
from spectra_otel.service.logs import fields
from spectra_otel.service.loops import refuse_loops
from spectra_otel.service.sending.disk_queue import abandoned
from spectra_otel.service.sending.sender import Sender
from spectra_otel.service.targets import FlowTarget, ForwardTarget, RequestTarget, SpanTarget, Target
from spectra_otel.service.telemetry import Telemetry

_PATIENCE_SECONDS = 1.0
"""At the end, for requests that are under way; then batches go out as they are, and who still sends is asked to come back."""
_REMEMBERED = 4_096
"""Payloads of which some exporters have taken their part and others have not."""
_QUEUES = "queue"
"""The folder, in `SPECTRA_HOME`, of sending queues that have no storage of their own."""
_log = logging.getLogger(__name__)


class Collector:
    """Builds what a document describes; raises :class:`ConfigError` for the first thing that cannot be made.

    It is the host of its receivers: see :class:`~spectra_otel.service.delivery.ReceiverHost`.
    """

    def __init__(self, document: Document) -> None:
        self.room = Room()
        self.telemetry = Telemetry()
        self._document = document
        self._lock = Lock()
        self._partial: OrderedDict[bytes, set[str]] = OrderedDict()
        self._senders: dict[ComponentID, Sender] = {}
        self._exporters: dict[ComponentID, BuiltExporter] = {}
        self._lanes: dict[ComponentID, Lane] = {}
        self._extensions: dict[ComponentID, Any] = {}
        self._metrics_servers: list[SmallServer] = []
        self._is_ready = False
        self._is_closing = False
        self._queues: set[Path] = set()
        """Where sending queues are that have no storage of their own."""
        refuse_loops(document)
        try:
            for id_ in document.service_extensions:
                self._extensions[id_] = pipeline.create(Kind.EXTENSION, document.extensions[id_])
            for spec in document.pipelines:
                self._lanes[spec.id] = self._lane(spec)
            used = dict.fromkeys(id_ for spec in document.pipelines for id_ in spec.receivers)
            self._receivers: dict[ComponentID, Receiver] = {
                id_: pipeline.create(Kind.RECEIVER, document.receivers[id_]) for id_ in used
            }
        except ConfigError:
            self._close_exporters()
            raise
        pipeline.use_prices(document)
        self._routes = {
            (id_, SIGNALS[spec.id.type]): [
                self._lanes[other.id]
                for other in document.pipelines
                if other.id.type == spec.id.type and id_ in other.receivers
            ]
            for spec in document.pipelines
            for id_ in spec.receivers
        }

    # -- running -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything; raises :class:`ConfigError` after stopping what had started."""
        try:
            self._serve_metrics()
            for id_, extension in self._extensions.items():
                _log.info("Extension is starting...", extra=fields("extension", id_))
                if hasattr(extension, "start"):
                    with _named(f"extensions::{id_}"):
                        extension.start(self)
            for id_, built in self._exporters.items():
                start: Any = getattr(built.exporter, "start", None)
                if start is not None:
                    with _named(f"exporters::{id_}"):
                        start()
            for lane in self._lanes.values():
                lane.start()
            for id_, receiver in self._receivers.items():
                with _named(f"receivers::{id_}"):
                    await receiver.start(self)
        except BaseException:
            await self.stop()
            raise
        self._is_ready = True
        self._warn_of_abandoned_queues()
        _log.info("Everything is ready. Begin running and processing data.")

    async def stop(self) -> None:
        """Stop taking, finish what was taken, and stop the rest."""
        self._is_ready = False
        loop = asyncio.get_running_loop()
        stopping = [loop.create_task(receiver.stop()) for receiver in self._receivers.values()]
        if stopping:
            await asyncio.wait(stopping, timeout=_PATIENCE_SECONDS)
        self._is_closing = True
        await loop.run_in_executor(None, self._stop_lanes)  # what waits in them is answered, so that receivers can end
        await asyncio.gather(*stopping, return_exceptions=True)
        await loop.run_in_executor(None, self._finish)

    @property
    def is_ready(self) -> bool:
        """Whether every receiver is listening."""
        return self._is_ready

    def _stop_lanes(self) -> None:
        for lane in self._lanes.values():
            if lane.is_running:
                lane.stop()

    def _finish(self) -> None:
        self._close_exporters()
        for extension in self._extensions.values():
            if hasattr(extension, "stop"):
                extension.stop()
        for server in self._metrics_servers:
            server.close()

    def _close_exporters(self) -> None:
        if self._senders:
            with ThreadPoolExecutor(len(self._senders)) as pool:  # one that hangs keeps none of the others
                list(pool.map(Sender.stop, self._senders.values()))
        for built in self._exporters.values():
            built.force_flush()
            built.shutdown()

    # -- host of receivers ---------------------------------------------------------------------------------------------

    def deliver(self, receiver: ComponentID, payload: Payload) -> Future[Outcome]:
        """Send a payload through every lane of its signal that names the receiver."""
        lanes = self._routes[receiver, payload.signal]
        job = Job(payload, len(lanes))
        if not payload.items:  # nothing to deal with; some senders ask so whether it is there
            job.future.set_result(ACCEPTED)
            return job.future
        if self._is_closing:
            job.future.set_result(Outcome("the collector is shutting down"))
            return job.future
        reason = next((reason for lane in lanes if (reason := lane.refusal())), None)
        if reason is not None:
            job.future.set_result(Outcome(reason))
            return job.future
        with self._lock:
            if self._partial:  # seldom: the digest of a body costs half of what its decoding costs
                job.done |= self._partial.get(_digest(payload), set())
        job.finish = lambda outcome: self._remember(job, outcome)
        job.future.set_running_or_notify_cancel()  # a sender that went away cannot take the answer from the lanes
        for lane in lanes:
            lane.submit(job)
        return job.future

    def takes(self, receiver: ComponentID, signal: Signal) -> bool:
        """Whether a pipeline of that signal names the receiver."""
        return (receiver, signal) in self._routes

    def authenticator(self, id: str) -> Authenticator:
        """The running extension of that id."""
        found = self._extensions.get(ComponentID.parse(id))
        if found is None or not hasattr(found, "refusal"):
            raise ConfigError(f'failed to resolve authenticator "{id}": authenticator not found')
        authenticator: Authenticator = found
        return authenticator

    def storage_folder(self, storage: str, name: str) -> Path:
        """Where the component ``name`` keeps what outlives the process: in an extension's folder, or in ``SPECTRA_HOME``."""
        name = name.replace("/", "_")
        return self._stored(storage, name) if storage else home() / name

    def _remember(self, job: Job, outcome: Outcome) -> None:
        """A sender whose payload one exporter refused sends it again: the others must not get it twice."""
        with self._lock:
            if outcome.error is None:
                if self._partial:
                    self._partial.pop(_digest(job.payload), None)
            elif job.done:
                self._partial[_digest(job.payload)] = job.done
                while len(self._partial) > _REMEMBERED:
                    self._partial.popitem(last=False)

    # -- building ------------------------------------------------------------------------------------------------------

    def _lane(self, spec: PipelineSpec) -> Lane:
        signal = SIGNALS[spec.id.type]
        components = [self._document.processors[id_] for id_ in spec.processors]
        steps = [
            Step(item.id, GuardedProcessor(item.id, pipeline.create(Kind.PROCESSOR, item)), item.factory.claimed_only)
            for item in components
        ]
        batching = [getattr(step.guarded.processor, "batching", None) for step in steps]
        largest = next((config.send_batch_max_size for config in batching if config is not None), None)
        exporters = [self._document.exporters[id_] for id_ in dict.fromkeys(spec.exporters)]
        every = not all(step.claimed_only for step in steps) or any(
            not (item.factory.claimed_only or item.factory.transport) for item in exporters
        )
        guarded = [step.guarded for step in steps]
        late = guarded[next((n for n, processor in enumerate(guarded) if processor.redacts), len(guarded)) :]
        targets = [self._target(item, signal, largest, late) for item in exporters]
        if len(targets) == 1 and isinstance(targets[0], SpanTarget) and targets[0].takes_parts:
            targets[0] = FlowTarget(targets[0].built, self.telemetry)
            _write_records_only([step.guarded.processor for step in steps])
        return Lane(spec.id, steps, targets, self.telemetry, every=every)

    def _target(self, item: Component, signal: Signal, largest: int | None, late: Sequence[Processor]) -> Target:
        """``largest``: None where the pipeline does not batch, else items of an outgoing request (0: no limit).

        ``late``: the processors that redact, and those after them.
        """
        if item.factory.transport is not None:
            if item.id not in self._senders:
                self._senders[item.id] = self._sender(item)
            config = item.config
            change, added = None, {}
            if isinstance(config, SpanSettings):
                change = change_of(config)
                added = dict(config.resource_attributes)
            return ForwardTarget(
                self._senders[item.id],
                change=change,
                late=late,
                resource_attributes=added,
                merges=largest is not None,
                largest=largest or 0,
            )
        if signal is not TRACES:
            assert (
                item.factory.requests is not None
            )  # a document that was read has no exporter for a signal it does not take
            return RequestTarget(str(item.id), item.factory.requests(item.config), self.telemetry)
        if item.id not in self._exporters:
            self._exporters[item.id] = pipeline.build_exporter(self._document, item)
        return SpanTarget(pipeline.redact_after_builder(self._exporters[item.id], late), self.telemetry)

    def _sender(self, item: Component) -> Sender:
        assert item.factory.transport is not None
        try:
            folder = self._queue_folder(item)
            transport = item.factory.transport(item.config)
            if (auth := getattr(item.config, "auth", None)) is not None and isinstance(transport, TakesHeaders):
                transport.add_headers(self._credentials(auth.authenticator))
            return Sender(str(item.id), transport, item.config, folder, self.telemetry)
        except (ConfigError, OSError) as error:
            raise ConfigError(f"exporters::{item.id}: {error}") from error

    def _credentials(self, id: str) -> Callable[[], Mapping[str, str]]:
        """What gives the headers of an exporter's requests."""
        found: Any = self._extensions.get(ComponentID.parse(id))
        if not hasattr(found, "headers"):
            raise ConfigError(f'failed to resolve authenticator "{id}": authenticator not found')
        headers: Callable[[], Mapping[str, str]] = found.headers
        return headers

    def _queue_folder(self, item: Component) -> Path:
        storage: str = item.config.sending_queue.storage
        name = str(item.id).replace("/", "_")
        if storage:
            with _named("sending_queue::storage"):
                return self._stored(storage, f"exporter_{name}")
        folder = home() / _QUEUES
        self._queues.add(folder)
        return folder / name

    def _warn_of_abandoned_queues(self) -> None:
        """Say where requests wait for an exporter that the configuration no longer has."""
        parents = {Path(item.folder("_")).parent for item in self._extensions.values() if hasattr(item, "folder")}
        if (wanted := wanted_home()) is not None:
            parents.add(wanted / _QUEUES)
        for folder, waiting in (found for parent in sorted(parents | self._queues) for found in abandoned(parent)):
            _log.warning("%s: %d requests wait there for an exporter that is not in use", folder, waiting)

    def _stored(self, storage: str, name: str) -> Path:
        """A folder in the storage extension of that id."""
        found: Any = self._extensions.get(ComponentID.parse(storage))
        if not hasattr(found, "folder"):
            raise ConfigError(f'storage client extension "{storage}" not found')
        return Path(found.folder(name))

    def _serve_metrics(self) -> None:
        telemetry = self._document.telemetry or TelemetrySettings()
        for endpoint in telemetry.metrics.endpoints():
            with _named("service::telemetry::metrics"):
                server = SmallServer(endpoint, lambda path: (200, CONTENT_TYPE, self.telemetry.metrics.text()))
            self._metrics_servers.append(server)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Errors say of what they are."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def _write_records_only(processors: Sequence[Any]) -> None:
    """Let processors write no attributes where nobody reads them: what goes to a store goes with the record."""
    if all(hasattr(processor, "writes_attributes") for processor in processors):
        for processor in processors:
            processor.writes_attributes = False


def _digest(payload: Payload) -> bytes:
    return blake2b(payload.body, digest_size=16).digest()
