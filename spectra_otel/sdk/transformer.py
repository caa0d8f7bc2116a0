"""The request transformer: what span builders and event listeners see of a record. The stored row stays as it is."""

from __future__ import annotations

from typing import Any

from spectra_otel import faults
from spectra_otel.model.record import TrackedRequest
from spectra_otel.sdk.loading import Deferred


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


_deferred: Deferred[RequestTransformer] | None = None


def use_transformer(path: str | None) -> None:
    """Have this process use the transformer that ``package.module:Class`` names; None goes back to the default."""
    global _deferred
    _deferred = Deferred(path, RequestTransformer, "SPECTRA_REQUEST_TRANSFORMER") if path else None


def transformed(record: TrackedRequest) -> TrackedRequest:
    """What the transformer of this process makes of ``record``, with the same ``.span``; the record itself where it raises."""
    transformer = _deferred.get() if _deferred is not None else None
    if transformer is None:
        return record
    try:
        values = dict(transformer.transform(record))
    except Exception as error:
        faults.report(f"request transformer {type(transformer).__name__}", error)
        return record
    return TrackedRequest(values, record.span, rev=record.rev, exact_keys=True)
