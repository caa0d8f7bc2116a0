"""The record: one provider response, as a read-only mapping over the fields of :mod:`spectra_otel.model.fields`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.model.fields import FIELDS


class TrackedRequest(Mapping[str, Any]):
    """One provider response, one record.

    A mapping whose keys are the columns of ``spectra_requests``; a field that is not known reads as ``None``. ``.span`` is the
    finished span it was made from. Money is ``Decimal`` cents, times are aware ``datetime`` in UTC.

    Only the pipeline writes to it, through :meth:`amend`; everybody else gets it read-only. A record that a
    ``RequestTransformer`` returned has exactly the keys that the transformer left.
    """

    __slots__ = ("_keys", "own_values", "rev", "span")

    own_values: dict[str, Any]
    """What is known, to write to: for processors that do so for every record, while it is theirs. Others :meth:`amend`."""

    def __init__(
        self, values: dict[str, Any], span: ReadableSpan | None = None, *, rev: int = 0, exact_keys: bool = False
    ) -> None:
        self.own_values = values
        self._keys: Mapping[str, Any] = values if exact_keys else FIELDS
        self.span = span
        self.rev = rev

    def __getitem__(self, key: str) -> Any:
        value = self.own_values.get(key)
        if value is None and key not in self._keys:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"TrackedRequest({self.known()!r})"

    @property
    def values_by_field(self) -> Mapping[str, Any]:
        """What is known, as a plain mapping: quicker to read than the record itself. Not to be changed."""
        return self.own_values

    def known(self) -> dict[str, Any]:
        """A new dict of the fields that are known, in no particular order."""
        return {key: value for key, value in self.own_values.items() if value is not None}

    def amend(self, values: Mapping[str, Any]) -> None:
        """Write fields. For processors, while the record is theirs."""
        self.own_values.update(values)
