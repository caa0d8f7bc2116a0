"""Settings of `filter`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from spectra_otel.errors import ConfigError
from spectra_otel.processors.filter.ottl import parse

_CONTEXT = re.compile(r"\b(span|resource|scope)\.")


@dataclass(slots=True)
class Traces:
    """Conditions; a span that meets one of them is dropped."""

    span: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FilterConfig:
    """Settings of the `filter` processor, named as the collector's."""

    error_mode: Literal["ignore", "silent", "propagate"] = "ignore"
    """What a condition that cannot be evaluated does: `ignore` logs and goes on, `silent` goes on, `propagate` keeps the span."""
    traces: Traces = field(default_factory=Traces)
    trace_conditions: list[str] = field(default_factory=list)
    """The same, where each path says of what it is: `span.name`, `resource.attributes["x"]`, `scope.name`."""

    @property
    def conditions(self) -> list[str]:
        """Those of either form."""
        return [*self.traces.span, *self.trace_conditions]

    def validate(self) -> None:
        """Raise ConfigError for a condition that cannot be read."""
        if self.traces.span and self.trace_conditions:
            raise ConfigError(
                'cannot use context inferred trace conditions "trace_conditions" and the settings "traces.span" at the same time'
            )
        if self.trace_conditions and not any(map(_CONTEXT.search, self.trace_conditions)):
            raise ConfigError(
                "unable to infer context from conditions, path's first segment must be a valid context name: "
                '["span" "resource" "scope"]'
            )
        for condition in self.conditions:
            try:
                parse(condition)
            except ValueError as error:
                raise ConfigError(f'unable to parse OTTL condition "{condition}": {error}') from None
