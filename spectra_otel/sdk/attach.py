"""How we join a ``TracerProvider``: the only place that touches private names of the SDK.

A provider, and every tracer ever taken from it, shares one composite of span processors. Two things are done to it:

* its ``on_end`` is shadowed on the instance, so that each span is enriched **once**, before any processor sees it, and all of
  them get the same enriched copy, whether they were added before us or after, export at once or in batches, and whenever the
  tracer was taken;
* one processor of ours is added. It queues what it gets and passes on ``force_flush`` and ``shutdown``.

And its ids are taken from elsewhere than the app's ``random`` (:mod:`spectra_otel.tracking.ids`).

Adding only a processor would not do: those before it have exported by then. Replacing the composite misses tracers that were
taken earlier. A provider that the app makes later is met in ``TracerProvider.__init__``.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from threading import Lock
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from spectra_otel import faults
from spectra_otel.budgets.book import book
from spectra_otel.forks import in_forked_child
from spectra_otel.sdk.host import Host
from spectra_otel.tracking import context, ids


class _Tap(SpanProcessor):
    """Gives the host every span that ends, and flushes it with the provider. Inert once ``host`` is None."""

    def __init__(self, host: Host) -> None:
        self.host: Host | None = host
        self.is_shut_down = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self.host is not None:
            self.host.warm_up()
            context.note_start(span, parent_context)
            if book.asks_at_start:
                from spectra_otel.budgets import starts

                starts.ask(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if self.host is not None:
            self.host.take(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.host is None or self.host.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        self.is_shut_down = True
        if self.host is not None:
            self.host.force_flush()


class Attachment:
    """One provider with a host attached. Holds the provider weakly."""

    def __init__(self, provider: TracerProvider, host: Host) -> None:
        self._provider = weakref.ref(provider)
        self.composite = provider._active_span_processor
        self._tap = _Tap(host)
        forward = self.composite.on_end

        def on_end(span: ReadableSpan) -> None:
            forward(host.enrich(span))

        vars(self.composite)["on_end"] = on_end
        self._ids = provider.id_generator
        ids.lend(self._ids)
        provider.add_span_processor(self._tap)

    @property
    def provider(self) -> TracerProvider | None:
        """The provider, while it lives and has not been shut down."""
        return None if self._tap.is_shut_down else self._provider()

    @property
    def has_exporters(self) -> bool:
        """The provider has a processor that is not ours: somebody looks at its spans."""
        return any(not isinstance(processor, _Tap) for processor in self.composite._span_processors)

    def detach(self) -> None:
        """Take the shadow away; the tap stays in the composite, which cannot be asked to remove it, and does nothing."""
        vars(self.composite).pop("on_end", None)
        ids.take_back(self._ids)
        self._tap.host = None


class Attachments:
    """The providers that one host is attached to, and which of them to use for spans of our own."""

    def __init__(self) -> None:
        self._all: list[Attachment] = []
        self._fresh_lock()
        in_forked_child(self._fresh_lock)
        self._original_init: Callable[..., None] | None = None

    def _fresh_lock(self) -> None:
        self._lock = Lock()

    def attach(self, provider: object, host: Host) -> bool:
        """Attach to a provider, once; False where it is not one of the SDK's (nor a wrapper around one)."""
        sdk_provider = _sdk_provider(provider)
        if sdk_provider is None:
            return False
        with self._lock:
            live = [a for a in self._all if a.provider is not None]
            if not any(a.provider is sdk_provider for a in live):
                live.append(Attachment(sdk_provider, host))
            self._all = live
        return True

    def attach_to_future_providers(self, host: Host) -> None:
        """Attach to every provider that is made from now on."""
        if self._original_init is not None:
            return
        self._original_init = original = TracerProvider.__init__

        @functools.wraps(original)
        def init(provider: TracerProvider, *args: Any, **kwargs: Any) -> None:
            original(provider, *args, **kwargs)
            if self._original_init is None:
                return
            try:
                self.attach(provider, host)
            except Exception as error:
                faults.report("attach", error)

        setattr(TracerProvider, "__init__", init)  # noqa: B010  (a checker refuses to assign to a method)

    def provider(self) -> TracerProvider | None:
        """Where spans of our own are made.

        The provider of the current span, so that a trace stays in one place. Without one the global provider, unless nobody
        exports its spans and somebody those of another: an app's own that came second, after the API had its global one.
        """
        live = [(a, p) for a in self._all if (p := a.provider) is not None]
        parent = getattr(trace.get_current_span(), "_span_processor", None)
        for attachment, provider in live:
            if parent is attachment.composite:
                return provider
        current = _sdk_provider(trace.get_tracer_provider())
        for attachment, provider in live:
            if provider is current and (attachment.has_exporters or len(live) == 1):
                return provider
        for attachment, provider in reversed(live):
            if attachment.has_exporters:
                return provider
        return current or (live[-1][1] if live else None)

    def detach(self) -> None:
        """Leave every provider as it was."""
        if self._original_init is not None:
            setattr(TracerProvider, "__init__", self._original_init)  # noqa: B010
            self._original_init = None
        for attachment in self._all:
            attachment.detach()
        self._all.clear()


def _sdk_provider(provider: object) -> TracerProvider | None:
    """The SDK's provider: itself, or the one that a wrapper such as Logfire's proxy keeps as ``provider``."""
    if isinstance(provider, TracerProvider):
        return provider
    inner = getattr(provider, "provider", None)
    return inner if isinstance(inner, TracerProvider) else None
