"""The request transformer: what span builders and event listeners see of a record. The stored row stays as it is."""

from __future__ import annotations

from typing import Any

from spectra_otel import faults
from spectra_otel.model.record import TrackedRequest
from spectra_otel.sdk.loading import load_instance


class RequestTransformer:
    """Turns a record into the mapping that builders and events get. Extend it to add, change or remove fields::

        class MyTransformer(spectra_otel.RequestTransformer):
            def transform(self, request):
                data = super().transform(request)
                data["environment"] = "prod"
                return data

    Choose it with ``SPECTRA_REQUEST_TRANSFORMER=package.module:MyTransformer``.
    """

    def transform(self, request: TrackedRequest) -> dict[str, Any]:
        """Every field of the record; what is not known is None."""
        return dict(request)


_transformer = RequestTransformer()


def use_transformer(path: str | None) -> None:
    """Have this process use the transformer that ``package.module:Class`` names; None goes back to the default.

    Raises:
        ConfigError: It cannot be loaded.
    """
    global _transformer
    _transformer = (
        load_instance(path, RequestTransformer, "SPECTRA_REQUEST_TRANSFORMER") if path else RequestTransformer()
    )


def transformed(record: TrackedRequest) -> TrackedRequest:
    """What the transformer of this process makes of ``record``, with the same ``.span``; the record itself where it raises."""
    if type(_transformer) is RequestTransformer:
        return record
    try:
        values = dict(_transformer.transform(record))
    except Exception as error:
        faults.report(f"request transformer {type(_transformer).__name__}", error)
        return record
    return TrackedRequest(values, record.span, rev=record.rev, exact_keys=True)
