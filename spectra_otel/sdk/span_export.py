"""What every span exporter offers beside its own settings: span builders, cost aliases and resource attributes.

An exporter's configuration extends :class:`SpanSettings`, and its factory passes what it made through :func:`wrap`. Everything
happens on copies: other exporters, and the application, see spans as they were.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spectra_otel import faults
from spectra_otel.config.settings import is_class_path
from spectra_otel.errors import ConfigError
from spectra_otel.model.spans import TrackedSpan
from spectra_otel.sdk.aliases import cost_alias_attributes, validate_cost_aliases
from spectra_otel.sdk.loading import Deferred
from spectra_otel.sdk.span_builder import SpanBuilder, exportable
from spectra_otel.sdk.transformer import transformed


@dataclass(slots=True)
class SpanSettings:
    """Settings that all span exporters share."""

    span_builder: str = ""
    """``package.module:Class`` of a SpanBuilder; empty: spans go out as they are."""

    cost_aliases: list[str] = field(default_factory=list)
    """Backends in whose own attribute the cost is written too: logfire, phoenix, langfuse, openlit."""

    resource_attributes: dict[str, str] = field(default_factory=dict)
    """Added to the resource of every span, on top of the application's."""

    service_version: str = ""
    """``service.version`` where the application's resource has none."""

    def validate(self) -> None:
        """Raise ConfigError for a class path or an alias that cannot be."""
        if self.span_builder and not is_class_path(self.span_builder):
            raise ConfigError(f"span_builder: got '{self.span_builder}', valid: package.module:Class")
        validate_cost_aliases(self.cost_aliases)


def wrap(exporter: SpanExporter, settings: SpanSettings) -> SpanExporter:
    """``exporter`` behind what ``settings`` ask for; itself where they ask for nothing."""
    if settings.resource_attributes or settings.service_version:
        exporter = ResourceExporter(exporter, settings.resource_attributes, settings.service_version)
    if settings.span_builder or settings.cost_aliases:
        exporter = _builder_exporter(exporter, settings)
    return exporter


def change_of(settings: SpanSettings) -> Callable[[ReadableSpan], ReadableSpan | None] | None:
    """What ``settings`` make of a single span, for a host that sends by itself; None where they ask for nothing."""
    if not (settings.span_builder or settings.cost_aliases):
        return None
    return _builder_exporter(SpanExporter(), settings).change


def _builder_exporter(exporter: SpanExporter, settings: SpanSettings) -> BuilderExporter:
    builder: Deferred[SpanBuilder] | None = None
    if settings.span_builder:
        builder = Deferred(settings.span_builder, SpanBuilder, "span_builder")
    return BuilderExporter(exporter, builder, settings.cost_aliases)


class PerProcessExporter(SpanExporter):
    """Makes its exporter on first use, and anew in a forked child: neither a connection nor a gRPC channel survives a fork.

    What the parent has is left alone in the child; closing it there would close the parent's connection too.
    """

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._make = make
        self._made: tuple[int, SpanExporter] | None = None
        self._is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export with the exporter of this process."""
        if self._is_shut_down:
            return SpanExportResult.FAILURE
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._make())
        return self._made[1].export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter of this process, if there is one."""
        exporter = self._own()
        return exporter is None or exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Shut the exporter of this process down, if there is one."""
        self._is_shut_down = True
        exporter = self._own()
        if exporter is not None:
            exporter.shutdown()

    def _own(self) -> SpanExporter | None:
        return self._made[1] if self._made is not None and self._made[0] == os.getpid() else None


class WrapperExporter(SpanExporter):
    """Changes spans, by :meth:`change`, on the way to another exporter."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    @property
    def behind(self) -> SpanExporter:
        """The exporter that gets the changed spans."""
        return self._exporter

    def change(self, span: ReadableSpan) -> ReadableSpan | None:
        """The span to export instead of ``span``; None drops it."""
        return span

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what :meth:`change` made of ``spans``."""
        changed = [result for span in spans if (result := self.change(span)) is not None]
        return self._exporter.export(changed) if changed else SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter behind."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Shut the exporter behind down."""
        self._exporter.shutdown()


class BuilderExporter(WrapperExporter):
    """Applies a span builder and cost aliases to cost-bearing spans.

    What a builder raises is reported once, and the span goes out as it was.
    """

    def __init__(
        self, exporter: SpanExporter, builder: Deferred[SpanBuilder] | None, cost_aliases: Sequence[str]
    ) -> None:
        super().__init__(exporter)
        self._builder = builder
        self._cost_aliases = tuple(cost_aliases)

    def change(self, span: ReadableSpan) -> ReadableSpan | None:
        """What the builder makes of ``span``, with the aliases."""
        if not (isinstance(span, TrackedSpan) and span.bears_cost and span.record is not None):
            return span
        aliases = cost_alias_attributes(self._cost_aliases, span.record)
        builder = self._builder.get() if self._builder is not None else None
        if builder is None:
            return _with_aliases(span, aliases)
        try:
            built = builder.build(transformed(span.record))
            if built is None:
                return None
            if built.context is None:
                raise ValueError("build() returned a span without a context")
            return _exportable_span(built, aliases)
        except Exception as error:
            faults.report(f"span builder {type(builder).__name__}", error)
            return _with_aliases(span, aliases)


class ResourceExporter(WrapperExporter):
    """Adds attributes to the resource of every span."""

    def __init__(self, exporter: SpanExporter, attributes: Mapping[str, str], service_version: str = "") -> None:
        super().__init__(exporter)
        self._attributes = Resource(dict(attributes))
        self._defaults = Resource({SERVICE_VERSION: service_version} if service_version else {})
        self._last: tuple[Resource, Resource] | None = None

    def change(self, span: ReadableSpan) -> ReadableSpan:
        """A copy of ``span`` with the richer resource."""
        return _MovedSpan(span, self._enrich(span.resource))

    def _enrich(self, resource: Resource) -> Resource:
        last = self._last  # a process has one resource or few, and comparing them by value is slow
        if last is None or last[0] is not resource:
            last = self._last = (resource, self._defaults.merge(resource).merge(self._attributes))
        return last[1]


class _MovedSpan(TrackedSpan):
    """A copy of a span on another resource, with the counts of what the original dropped."""

    def __init__(self, source: ReadableSpan, resource: Resource) -> None:
        super().__init__(source, None, bears_cost=False)
        self._resource = resource


def _with_aliases(span: TrackedSpan, aliases: Mapping[str, Any]) -> ReadableSpan:
    if not aliases:
        return span
    copy = TrackedSpan(span, None, bears_cost=True)
    copy.set_attributes(aliases)
    return copy


def _exportable_span(built: ReadableSpan, aliases: Mapping[str, Any]) -> ReadableSpan:
    """What a builder made, with ``aliases``, and with attributes that OTLP can carry whatever it put there."""
    return ReadableSpan(
        name=built.name,
        context=built.context,
        parent=built.parent,
        resource=built.resource,
        attributes=exportable({**(built.attributes or {}), **aliases}),
        events=built.events,
        links=built.links,
        kind=built.kind,
        status=built.status,
        start_time=built.start_time,
        end_time=built.end_time,
        instrumentation_scope=built.instrumentation_scope,
    )
