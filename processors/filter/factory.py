"""The factory of `filter`, and the processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel import faults
from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.processors.filter.config import FilterConfig
from spectra_otel.processors.filter.ottl import parse


class FilterProcessor:
    """Drops spans, and the records on them, that meet a condition."""

    def __init__(self, config: FilterConfig) -> None:
        self._conditions: list[Callable[[ReadableSpan], bool]] = [parse(text) for text in config.conditions]
        self._error_mode = config.error_mode

    def process(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """The spans that meet none."""
        return [span for span in spans if not self._is_dropped(span)]

    def _is_dropped(self, span: ReadableSpan) -> bool:
        for condition in self._conditions:
            try:
                if condition(span):
                    return True
            except (TypeError, ValueError) as error:
                if self._error_mode != "silent":
                    faults.report("processor filter, a condition cannot be evaluated", error)
                if self._error_mode == "propagate":
                    return False
        return False


def factory() -> Factory[FilterConfig, FilterProcessor]:
    """Make the factory."""
    return Factory("filter", Stability.BETA, FilterConfig, _create)


def _create(id_: ComponentID, config: FilterConfig) -> FilterProcessor:
    return FilterProcessor(config)
