"""Until when generated media can be fetched: by the answer, by a signed address, or by the provider's documented term."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from spectra_otel.providers.values import Values

_STAMP = "%Y%m%dT%H%M%SZ"


def put_expiry(values: Values, said: Any, addresses: list[Any], term: timedelta | None = None) -> None:
    """Set ``media_expires_at``: ``said`` is a Unix time or ISO 8601, ``term`` counts from now where nothing else tells."""
    found = [_time(said), *(expiry_of(address) for address in addresses if isinstance(address, str))]
    known = [time for time in found if time is not None]
    if known:
        values["media_expires_at"] = min(known)
    elif term is not None and any(isinstance(address, str) and address.startswith("http") for address in addresses):
        values["media_expires_at"] = datetime.now(UTC) + term


def expiry_of(address: str) -> datetime | None:
    """When a signed address ends: as Azure (``se``), CloudFront and Google's old ones (``Expires``), AWS and Google sign."""
    try:
        asked = dict(parse_qsl(urlsplit(address).query))
    except ValueError:  # not an address
        return None
    for prefix in ("X-Amz-", "X-Goog-"):
        start, length = asked.get(f"{prefix}Date", ""), asked.get(f"{prefix}Expires", "")
        if start and length.isdigit():
            try:
                return datetime.strptime(start, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=int(length))
            except (ValueError, OverflowError):
                return None
    return _time(asked.get("se") or asked.get("Expires"))


def _time(said: Any) -> datetime | None:
    try:
        if isinstance(said, str) and said.isdigit():
            said = int(said)
        if isinstance(said, int | float) and not isinstance(said, bool) and said > 0:
            return datetime.fromtimestamp(said, UTC)
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
        return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None
