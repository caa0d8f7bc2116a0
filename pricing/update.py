"""A newer catalog: from a file, an address, or what genai-prices or LiteLLM list today. Taken whole or not at all.

What genai-prices and LiteLLM list is laid over the catalog in use: a price that changed becomes a new entry, dated today, and the
old one stays for calls of the past; prices that were decided by hand, with a page, stay as they are.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from spectra_otel.pricing.catalog import Catalog, taken_catalog_path
from spectra_otel.pricing.errors import PriceFileError
from spectra_otel.pricing.units import parse_rate

LARGEST_BYTES = 64 << 20
TIMEOUT_SECONDS = 30
_UPSTREAM = ("genai-prices", "litellm")


def read_update(source: str, current: Catalog, on: date) -> Catalog:
    """The catalog that ``source`` gives: a path, an http(s) address, ``genai-prices`` or ``litellm`` (as installed here).

    A file is a catalog of ours, or LiteLLM's table of prices as JSON. Raises :class:`PriceFileError` with one line that names
    the source and what is wrong; then nothing was taken.
    """
    if source in _UPSTREAM:
        return _laid_over(current, _installed(source), source, on)
    name, data = _fetched(source)
    if data[:4096].lstrip().startswith(b"{") and b'"providers"' not in data.partition(b"\n")[0]:
        return _laid_over(current, _table(name, data), "litellm", on)
    return checked(data, name)


def checked(data: bytes, name: str) -> Catalog:
    """A catalog of ours, every line of it read. Raises :class:`PriceFileError` for one that is damaged in any way."""
    catalog = Catalog(data, name)
    if not catalog.verify():
        raise PriceFileError(f"{name}: its prices do not have the digest of its header: damaged or edited")
    for provider in catalog.providers:
        for number, line in enumerate(dict.fromkeys(catalog.names(provider).values()), start=1):
            try:
                value = json.loads(line.partition(b"\t")[2])
                for offer in value["offers"]:
                    for meter, rate in offer["rates"].items():
                        parse_rate(meter.partition(" ")[0], rate)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise PriceFileError(f"{name}: {provider}, entry {number}: {error}") from error
    return catalog


def take(catalog: Catalog, path: Path | None = None) -> Path:
    """Keep a catalog as the one in use; the one it replaces stays readable in `history`. Atomic.

    Returns where it is kept. Raises :class:`PriceFileError` if it cannot be written.
    """
    target = path or taken_catalog_path()
    history = target.parent / "history"
    try:
        history.mkdir(parents=True, exist_ok=True)
        kept = history / f"{catalog.version}.tsv"
        if not kept.exists():
            _write(kept, catalog.data)
        _write(target, catalog.data)
    except OSError as error:
        raise PriceFileError(f"{target}: cannot keep the catalog there: {error.strerror or error}") from error
    return target


def _write(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _fetched(source: str) -> tuple[str, bytes]:
    """Name and bytes of a file or an address."""
    if not source.startswith(("http://", "https://")):
        path = Path(source).expanduser()
        try:
            return path.name, path.read_bytes()
        except OSError as error:
            raise PriceFileError(f"{source}: cannot read the prices: {error.strerror or error}") from error
    return source, _downloaded(source)


def _downloaded(source: str) -> bytes:
    """The whole answer of an address. Its size and the time it takes are bounded, however slowly it comes."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    data, until = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    try:
        with urlopen(source, timeout=TIMEOUT_SECONDS) as answer:
            while len(data) <= LARGEST_BYTES and (chunk := answer.read1(1 << 16)):
                data += chunk
                if time.monotonic() > until:
                    raise TimeoutError("timed out")
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        reason = str(getattr(error, "reason", None) or error or type(error).__name__).partition("\n")[0]
        raise PriceFileError(f"{source}: cannot read the prices: {reason}") from error
    if len(data) > LARGEST_BYTES:
        raise PriceFileError(f"{source}: has more than {LARGEST_BYTES >> 20} MiB; that is no price catalog")
    return bytes(data)


def _installed(source: str) -> Any:
    """What the installed package lists."""
    from spectra_otel.pricing.compile import genai, litellm

    try:
        if source == "genai-prices":
            return genai.read()[0]
        from importlib.util import find_spec

        package = find_spec("litellm")  # found, not imported: it takes seconds and 200 MiB
        if package is None or package.origin is None:
            raise ImportError(source)
        return litellm.read(Path(package.origin).with_name("model_prices_and_context_window_backup.json"))[0]
    except ImportError as error:
        raise PriceFileError(
            f"{source}: is not installed here; `pip install {source}` or name a file or an address"
        ) from error
    except (OSError, ValueError, KeyError, ArithmeticError) as error:
        raise PriceFileError(f"{source}: its prices cannot be read: {error}") from error


def _table(name: str, data: bytes) -> Any:
    from spectra_otel.pricing.compile import litellm

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.json"
        path.write_bytes(data)
        try:
            drafts, _ = litellm.read(path)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            why = f": {error}" if isinstance(error, ValueError) else ""
            raise PriceFileError(f"{name}: is neither a catalog of ours nor LiteLLM's table of prices{why}") from error
    if not drafts:
        raise PriceFileError(f"{name}: has no prices in it; a catalog of ours or LiteLLM's table of prices is wanted")
    return drafts


def _laid_over(current: Catalog, drafts: Any, source: str, on: date) -> Catalog:
    """The current catalog with new models, and today's prices where they are not what this source said before."""
    from spectra_otel.pricing.compile.assemble import assemble

    day = on.isoformat()
    sources = [*current.sources, {"name": f"spectra prices update --from {source}", "taken": day}]
    try:
        return checked(
            assemble(_lines(current, drafts, source, on), max(day, current.date.isoformat()), sources), source
        )
    except PriceFileError:
        raise
    except ValueError as error:
        raise PriceFileError(f"{source}: {error}") from error


def _lines(current: Catalog, drafts: Any, source: str, on: date) -> dict[tuple[str, str], Any]:
    """The lines of that catalog, by provider and names. Raises ``ValueError`` for a price that is none."""
    day = on.isoformat()
    at = datetime(on.year, on.month, on.day, tzinfo=UTC)
    lines: dict[tuple[str, str], Any] = {}
    for provider in current.providers:
        for line in dict.fromkeys(current.names(provider).values()):
            names, _, raw = line.partition(b"\t")
            lines[provider, names.decode()] = json.loads(raw)
    places = {
        (provider, name.lower()): key for key in lines for provider, name in [(key[0], n) for n in key[1].split(" ")]
    }
    changed: set[tuple[str, str]] = set()
    for (provider, name), draft in drafts.items():
        listed = draft.offer("standard", day)
        key = places.get((provider, name))
        entry = current.find(provider, name)
        if listed is None or not listed.rates:
            continue
        if key is None or entry is None:
            lines[provider, draft.name] = {
                "type": draft.model_type,
                "offers": [{"rates": dict(listed.rates), "from": source}],
            }
            continue
        held = entry.offer("standard", at)
        if held is None or held.hours or held.currency != "USD" or key in changed:
            continue
        mine = {meter for meter in held.rates if held.origins.get(meter, held.source) == source}
        news = {m: rate for m, rate in listed.rates.items() if m in mine and not _same(m, held.rates[m], rate)}
        if news:
            changed.add(key)
            offer = {"rates": {**held.rates, **news}, "from": source, "since": day}
            origins = {meter: origin for meter, origin in held.origins.items() if meter not in news}
            offers = lines[key]["offers"]  # before a price that is to come, which stays
            later = (
                n for n, o in enumerate(offers) if o.get("tier", "standard") == "standard" and o.get("since", "") > day
            )
            offers.insert(next(later, len(offers)), offer | ({"origins": origins} if origins else {}))
    return lines


def _same(meter: str, one: str, two: str) -> bool:
    base = meter.partition(" ")[0]
    return parse_rate(base, one) == parse_rate(base, two)
