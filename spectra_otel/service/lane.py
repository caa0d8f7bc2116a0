"""A lane: one pipeline of the collector, on a thread of its own.

Payloads that wait while the lane is busy are taken together, so that many small requests share one sync of the disk. A sender is
answered when every lane has dealt with its payload: until then nothing counts as accepted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel import faults
from spectra_otel.component import ComponentID
from spectra_otel.model.spans import rejected
from spectra_otel.otlp.protobuf import Claims, TraceRequest
from spectra_otel.otlp.signals import TRACES
from spectra_otel.pipeline import GuardedProcessor
from spectra_otel.service.delivery import ACCEPTED, BROKEN, Outcome, Payload, request_metadata
from spectra_otel.service.targets import FlowTarget, Processed, Target, release

if TYPE_CHECKING:
    from spectra_otel.service.telemetry import Telemetry

_MOST_ITEMS = 512
"""Spans that a lane takes at once: enough to share a sync, few enough to answer soon. Decoded, one takes 12 kB."""

_MANY_JOBS, _MOST_FLOWING = 3, 2048
"""Where so many wait, the lane is behind: they share a sync as well, if their spans flow, which takes no memory."""

PART = 64
"""Spans that are decoded at once where they flow to the one exporter there is: they fit the second cache of a core."""


@dataclass(slots=True)
class Job:
    """A payload on its way through the lanes of its receiver; the worst outcome is what the sender hears.

    ``done`` names the exporters that have it already, from an attempt of which another exporter failed: they are left out.
    ``finish`` is called with the outcome before the sender hears it. It is not a callback of the future, which would hold the
    job, and megabytes with it, until the collector of garbage comes by.
    """

    payload: Payload
    lanes: int
    future: Future[Outcome] = field(default_factory=Future)
    done: set[str] = field(default_factory=set)
    finish: Callable[[Outcome], None] | None = None
    _worst: Outcome = ACCEPTED
    _lock: Lock = field(default_factory=Lock)

    def report(self, outcome: Outcome) -> None:
        """One lane is through with it."""
        with self._lock:
            self.lanes -= 1
            if outcome.is_worse_than(self._worst):
                self._worst = outcome
            is_last = not self.lanes
        if not is_last:
            return
        finish, self.finish = self.finish, None
        if finish is not None:
            finish(self._worst)
        self.future.set_result(self._worst)


@dataclass(frozen=True, slots=True)
class Step:
    """A processor of a lane, with what it says of itself."""

    id: ComponentID
    guarded: GuardedProcessor
    claimed_only: bool


class Lane:
    """Runs one pipeline. ``every`` is true where some component reads spans that no dialect claims."""

    def __init__(
        self,
        id: ComponentID,
        steps: Sequence[Step],
        targets: Sequence[Target],
        telemetry: Telemetry,
        *,
        every: bool = False,
    ) -> None:
        self.id = id
        self._steps = steps
        self._targets = targets
        self._telemetry = telemetry
        self._every = every
        self._flows = any(isinstance(target, FlowTarget) for target in targets)
        self._claims = Claims()
        batching = [(step.id, b) for step in steps if (b := getattr(step.guarded.processor, "batching", None))]
        self._batching: tuple[ComponentID, Any] | None = batching[-1] if batching else None
        self._gates: list[Any] = [
            step.guarded.processor for step in steps if hasattr(step.guarded.processor, "refusal")
        ]
        self._waiting: deque[Job] = deque()
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name=f"spectra-{id}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread.is_alive()

    def refusal(self) -> str | None:
        """Why the lane takes nothing now (memory is short); None if it does."""
        for gate in self._gates:
            reason: str | None = gate.refusal()
            if reason is not None:
                return reason
        return None

    def submit(self, job: Job) -> None:
        """Queue a job; its ``report`` is called from the lane's thread."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def stop(self) -> None:
        """Finish what waits, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._take():
            outcomes: Sequence[Outcome] = [BROKEN] * len(jobs)
            try:
                outcomes = self._work(jobs)
            except Exception as error:
                faults.report(f"pipeline {self.id}", error)
            for job, outcome in zip(jobs, outcomes, strict=True):
                try:
                    job.report(outcome)
                except Exception as error:  # a sender that is gone does not end the lane for all others
                    faults.report(f"pipeline {self.id}", error)

    def _take(self) -> list[Job]:
        """What waits, at least one job; nothing when the lane has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._batching is not None:
                self._wait_for_company(*self._batching)
            jobs: list[Job] = []
            items = 0
            most = self._most_items()
            while self._waiting and (not jobs or items + self._waiting[0].payload.items <= most):
                jobs.append(self._waiting.popleft())
                items += jobs[-1].payload.items
            return jobs

    def _most_items(self) -> int:
        if self._batching is not None:
            return max(_MOST_ITEMS, int(self._batching[1].send_batch_size))
        return _MOST_FLOWING if self._flows and len(self._waiting) >= _MANY_JOBS else _MOST_ITEMS

    def _wait_for_company(self, id_: ComponentID, batching: Any) -> None:
        deadline = time.monotonic() + float(batching.timeout)

        def is_full() -> bool:
            most: int = batching.send_batch_size
            return sum(job.payload.items for job in self._waiting) >= most

        while not (is_full() or self._stopping):
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break
        if self._waiting:
            self._telemetry.batched(str(id_), sum(job.payload.items for job in self._waiting), is_full())

    def _work(self, jobs: Sequence[Job]) -> list[Outcome]:
        batch = [self._process(job.payload) for job in jobs]
        results: list[list[Outcome]] = [[] for _ in jobs]
        for target in self._targets:
            chosen = [index for index, job in enumerate(jobs) if self._key(target) not in job.done]
            for index, outcome in zip(chosen, target.deliver([batch[index] for index in chosen]), strict=True):
                results[index].append(outcome)
                if outcome.error is None:
                    jobs[index].done.add(self._key(target))
        for item in batch:
            release((*item.spans, *(item.early or ())))
        return [
            next((outcome for outcome in mine if outcome.error is not None), item.verdict)
            for item, mine in zip(batch, results, strict=True)
        ]

    def _key(self, target: Target) -> str:
        return f"{self.id} {target.name}"

    def _process(self, payload: Payload) -> Processed:
        if payload.signal is not TRACES or not (self._steps or self._every):
            return Processed(payload)
        item = Processed(payload, TraceRequest(payload.body, payload.items))
        assert item.request is not None
        if self._flows:
            item.parts = map(partial(self._run_steps, item), item.request.parts(self._claims, PART, every=self._every))
        else:
            item.spans = self._run_steps(item, item.request.spans(self._claims, every=self._every))
        return item

    def _run_steps(self, item: Processed, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """What the processors make of spans of a request."""
        payload, reasons = item.payload, list[str]()
        token, listening = request_metadata.set(payload.metadata), rejected.set(reasons)
        try:
            for step in self._steps:
                if step.guarded.redacts and item.early is None and not self._flows:
                    item.early = spans
                began, before = time.perf_counter(), len(spans)
                spans = step.guarded.process(spans) if spans else spans
                self._telemetry.processed(str(step.id), str(self.id), before, len(spans), time.perf_counter() - began)
        finally:
            request_metadata.reset(token)
            rejected.reset(listening)
        if reasons:
            item.verdict = Outcome(rejected=item.verdict.rejected + len(reasons), reason=reasons[0])
        return spans
