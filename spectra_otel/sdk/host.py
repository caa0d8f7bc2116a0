"""The in-process host: one per process, between the app's tracer providers and the delivery of what they end.

What the other parts use
    ``host.tracer()``              the tracer for spans of our own, of the provider whose exporters the app looks at
    ``host.resource``              the resource of that provider, for spans that are made by hand
    ``host.record(span, values)``  a call whose span the app's sampler dropped: recorded, not exported
    ``host.before_flush(call)``    ``call()`` runs before each flush: open streams settle there
    ``host.force_flush(timeout)``  seconds; True when everything is out

The pipelines are built when the first span starts, on a thread of their own: an app that starts does not wait for it, and a
call to a model takes longer than that.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Tracer

from spectra_otel import faults
from spectra_otel.forks import may_wait

if TYPE_CHECKING:
    from spectra_otel.model.spans import TrackedSpan
    from spectra_otel.sdk.delivery import Delivery

TRACER_NAME = "spectra_otel"
_BUILD_SECONDS = 10.0


class Host:
    """``build`` makes the delivery, once, when it is first needed; ``provider`` says where spans of our own are made."""

    def __init__(
        self, build: Callable[[], Delivery], *, provider: Callable[[], TracerProvider | None] = lambda: None
    ) -> None:
        self._build = build
        self._provider = provider
        self._delivery: Delivery | None = None
        self._is_over = False
        self._building = threading.RLock()
        self._builder: threading.Thread | None = None
        self._tracers = WeakKeyDictionary[trace.TracerProvider, Tracer]()
        self._flush_calls: list[Callable[[], object]] = []
        self._wait_before_fork()

    # -- for instrumentors -----------------------------------------------------------------------------------------

    def tracer(self) -> Tracer:
        """The tracer for spans of our own; of the API's no-op kind where the app has no provider of the SDK."""
        provider = self._provider() or trace.get_tracer_provider()
        tracer = self._tracers.get(provider)
        if tracer is None:  # asking the SDK again for each call costs ten times as much
            tracer = self._tracers[provider] = provider.get_tracer(TRACER_NAME)
        return tracer

    @property
    def resource(self) -> Resource:
        """The resource of the provider of :meth:`tracer`."""
        provider = self._provider()
        return provider.resource if provider is not None else Resource.get_empty()

    def record(self, span: ReadableSpan, values: Mapping[str, Any]) -> None:
        """Record a call whose span was sampled out. ``span`` is finished and made by hand, ``values`` are record fields.

        The app's exporters do not get it; exporters that keep records do. Raises nothing.
        """
        try:
            self.delivery.record(span, values)
        except Exception as error:
            faults.report("record", error)

    def complete(self, span: TrackedSpan) -> None:
        """Take a later state of a record that was made before: same id, higher ``rev``. Raises nothing."""
        try:
            self.delivery.complete(span)
        except Exception as error:
            faults.report("record", error)

    def make_room(self) -> None:
        """Wait for the disk where many records wait for it: for who makes thousands at once, lest some are dropped."""
        try:
            self.delivery.make_room()
        except Exception as error:
            faults.report("record", error)

    def before_flush(self, call: Callable[[], object]) -> None:
        """Have ``call`` run before each flush and at shutdown; it may end spans."""
        self._flush_calls.append(call)

    # -- for the attachment ----------------------------------------------------------------------------------------

    def enrich(self, span: ReadableSpan) -> ReadableSpan:
        """The span that every processor of the app gets instead of ``span``, or ``span`` itself. Called once per span."""
        try:
            return self.delivery.enrich(span)
        except Exception as error:
            faults.report("enrich", error)
            return span

    def take(self, span: ReadableSpan) -> None:
        """Queue an enriched span for our own exporters. Raises nothing."""
        try:
            self.delivery.take(span)
        except Exception as error:
            faults.report("queue", error)

    def force_flush(self, timeout: float = 30.0, *, settle: bool = True) -> bool:
        """Write and send all that waits, within ``timeout`` seconds; ``settle`` ends open streams first."""
        deadline = time.monotonic() + timeout
        for call in self._flush_calls if settle else ():
            try:
                call()
            except Exception as error:
                faults.report("flush", error)
        return self._delivery is None or self._delivery.force_flush(deadline)

    def finish(self, timeout: float = 10.0) -> bool:
        """Flush at the end of the process; what ends after this is written before its call returns."""
        done = self.force_flush(timeout)
        with self._building:
            self._is_over = True
            if self._delivery is not None:
                self._delivery.is_sync = True
        return done

    def shutdown(self, timeout: float = 30.0) -> bool:
        """Flush, then shut the exporters down."""
        done = self.force_flush(timeout)
        if self._delivery is not None:
            self._delivery.shutdown()
        return done

    # -- building --------------------------------------------------------------------------------------------------

    @property
    def delivery(self) -> Delivery:
        """The delivery; built now if it is not there yet. Where that fails it is said, and nothing is delivered from then on."""
        if self._delivery is None:
            try:
                self.build()
            except Exception as error:
                faults.report("not started, the app runs on without it", error)
                from spectra_otel.sdk.delivery import Delivery

                self._delivery = Delivery(())
        assert self._delivery is not None
        return self._delivery

    def build(self) -> None:
        """Build the delivery if it is not there yet. Raises what goes wrong."""
        with self._building:
            if self._delivery is None:
                self._delivery = self._build()
                self._delivery.is_sync |= self._is_over

    def warm_up(self) -> None:
        """Begin to build on a thread of its own, once. Called when a span starts; raises nothing."""
        if self._delivery is not None or self._builder is not None:
            return
        self._builder = threading.Thread(target=lambda: self.delivery, name="spectra-start", daemon=True)
        try:
            self._builder.start()
        except RuntimeError as error:
            faults.report("start", error)

    def _wait_before_fork(self) -> None:
        """A fork in the middle of building would leave the child with locks that nobody releases."""
        if not hasattr(os, "register_at_fork"):
            return
        weak = WeakMethod(self._join_builder)

        def before() -> None:
            if (join := weak()) is not None:
                join()

        os.register_at_fork(before=before)

    def _join_builder(self) -> None:
        builder = self._builder
        if builder is not None and may_wait() and builder is not threading.current_thread() and builder.is_alive():
            builder.join(_BUILD_SECONDS)
