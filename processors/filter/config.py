"""Settings of `filter`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from spectra_otel.errors import ConfigError
from spectra_otel.processors.filter.ottl import parse


@dataclass(slots=True)
class Traces:
    """Conditions; a span that meets one of them is dropped."""

    span: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FilterConfig:
    """Settings of the `filter` processor, named as the collector's."""

    error_mode: Literal["ignore", "silent", "propagate"] = "propagate"
    """What a condition that cannot be evaluated does: `ignore` logs and goes on, `silent` goes on, `propagate` keeps the span."""
    traces: Traces = field(default_factory=Traces)

    def validate(self) -> None:
        """Raise ConfigError for a condition that cannot be read."""
        for condition in self.traces.span:
            try:
                parse(condition)
            except ValueError as error:
                raise ConfigError(f'unable to parse OTTL condition "{condition}": {error}') from None
