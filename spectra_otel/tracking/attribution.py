"""Who a call is for: what users say of it, and how two that say something of it are joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spectra_otel import faults

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What is known of the calls of a process, a context or a ``track`` block."""

    user: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trackable: tuple[str, str] | None = None
    conversation_id: str | None = None
    pricing_tier: str | None = None

    def plus(self, other: Attribution) -> Attribution:
        """Both; where they disagree ``other`` wins, tags and nested metadata are joined."""
        return Attribution(
            other.user or self.user,
            tuple(dict.fromkeys((*self.tags, *other.tags))),
            merge(self.metadata, other.metadata),
            other.trackable or self.trackable,
            other.conversation_id or self.conversation_id,
            other.pricing_tier or self.pricing_tier,
        )

    def fields(self) -> Values:
        """As record fields; what is not known is left out."""
        values: Values = {
            "user_id": self.user,
            "tags": list(self.tags) or None,
            "metadata": dict(self.metadata) or None,
            "conversation_id": self.conversation_id,
            "pricing_tier": self.pricing_tier,
        }
        if self.trackable is not None:
            values["trackable_type"], values["trackable_id"] = self.trackable
        return {name: value for name, value in values.items() if value is not None}


def attribution(
    *,
    user: str | None = None,
    tags: Sequence[str] | str = (),
    metadata: Mapping[str, Any] | None = None,
    trackable: tuple[str, Any] | None = None,
    conversation_id: str | None = None,
    pricing_tier: str | None = None,
) -> Attribution:
    """An :class:`Attribution` from what users pass: one tag or several, ids of any type."""
    if metadata is not None and not isinstance(metadata, Mapping):
        faults.report("track", f"metadata: got a {type(metadata).__name__}, valid: a mapping")
        metadata = None
    if trackable is not None and not (isinstance(trackable, (tuple, list)) and len(trackable) == 2):
        faults.report("track", f"trackable: got a {type(trackable).__name__}, valid: a pair of type and id")
        trackable = None
    if not isinstance(tags, Iterable):
        faults.report("track", f"tags: got a {type(tags).__name__}, valid: a text or several")
        tags = ()
    return Attribution(
        None if user is None else str(user),
        (tags,) if isinstance(tags, str) else tuple(map(str, tags)),
        dict(metadata or {}),
        None if trackable is None else (str(trackable[0]), str(trackable[1])),
        conversation_id,
        pricing_tier,
    )


def merge(first: Mapping[str, Any], second: Mapping[str, Any], depth: int = 50) -> dict[str, Any]:
    """Both mappings, nested ones joined key by key, to some depth; where they disagree the second wins."""
    merged = dict(first)
    for key, value in second.items():
        known = merged.get(key)
        nested = depth > 0 and isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(known, value, depth - 1) if nested else value  # type: ignore[arg-type]
    return merged
