"""Every request of the process's HTTP clients: whose it is, and whether it is a call that is billed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from urllib.parse import unquote

from spectra_otel import faults
from spectra_otel.config.settings import Settings
from spectra_otel.instrumentors.bodies import AWS_SIGNATURE, read_request_body, upload_of
from spectra_otel.instrumentors.content import Content
from spectra_otel.instrumentors.exchange import Body, Exchange, Headers
from spectra_otel.instrumentors.streams import OpenTaps
from spectra_otel.providers.base import Endpoint, Provider, Sent
from spectra_otel.providers.registry import Providers
from spectra_otel.providers.values import REGION, SAID_TIER, Values, put_text
from spectra_otel.tracking import context
from spectra_otel.tracking.attribution import merge
from spectra_otel.tracking.jobs import Jobs
from spectra_otel.tracking.request import Owner

_KNOWN_ENDPOINTS = 512
"""Endpoints whose row is remembered: looking one up again takes a fifth of the time."""
Found = tuple[Provider | None, Endpoint, dict[str, str]]
"""Provider (None for a host that nobody named), row of its table, and what the placeholders matched."""


class Observer:
    """Looks at every request of the process's HTTP clients. ``skipped`` counts requests to providers that are not billed."""

    def __init__(self, owner: Owner, providers: Providers, settings: Settings) -> None:
        self.owner = owner
        self.providers = providers
        self.settings = settings
        self.taps = OpenTaps()
        self.jobs = Jobs()
        self.content = Content(settings.content_limit, settings.content_redactor) if settings.capture_content else None
        self.skipped = 0
        self._found: dict[tuple[str, str, int | None, str], Found] = {}

    def add_provider(self, provider: Provider) -> None:
        """Know one more provider from here on."""
        self.providers.add(provider)
        self._found.clear()

    def find(self, method: str, host: str, port: int | None, path: str) -> Found | None:
        """Whose endpoint that is; None for a request that is not billed, or nobody's. Quick: every request asks."""
        known = self._found.get((method, host, port, path))
        if known is not None:
            return known
        found = self._look_up(method, host, port, path)
        if found is not None:
            if len(self._found) >= _KNOWN_ENDPOINTS:
                self._found.clear()
            self._found[method, host, port, path] = found
        return found

    def _look_up(self, method: str, host: str, port: int | None, path: str) -> Found | None:
        provider = self.providers.of_host(host, port)
        if provider is None:
            row = self.providers.unnamed(path) if method == "POST" else None
            return None if row is None else (None, *row)
        row = provider.endpoint(method, path)
        if row is None:
            self.skipped += 1
            return None
        endpoint, places = row
        region = provider.region(host.lower())
        return provider, endpoint, {**places, REGION: region} if region else places

    def begin(
        self, found: Found, method: str, host: str, port: int | None, path: str, query: str, headers: Headers, raw: Body
    ) -> Exchange | None:
        """An exchange for a request that :meth:`find` found; None if it is not to be tracked after all. Never raises.

        ``raw`` is the request's body: bytes, the fields of a form, or None where it cannot be had.
        """
        try:
            return self._begin(found, method, host, port, path, query, headers, raw)
        except Exception as error:
            faults.report("instrumentor", error)
            return None

    def _begin(
        self, found: Found, method: str, host: str, port: int | None, path: str, query: str, headers: Headers, raw: Body
    ) -> Exchange | None:
        if context.is_untracked():
            return None
        provider, row, places = found
        if row.batch:
            return self._batch(found, method, path, query, headers)
        if row.completes:
            return self._poll(found, method, path, query, headers, raw)
        content_type = headers.get("content-type") or ""
        body = read_request_body(raw, content_type)
        sent = Sent(provider or self.providers.compatible, method, path, query, headers, body, places)
        if isinstance(raw, bytes) and content_type.startswith(("audio/", "application/octet-stream")):
            sent.upload = upload_of(raw)
        if provider is None and not row.format.accepts(sent):
            return None
        values: Values = {
            "provider": sent.provider.name,
            "model_type": row.format.model_type,
            "operation": row.format.operation,
            "endpoint": unquote(path) if "%" in path else path,
            "is_streaming": False,
            "server.address": host,
            "server.port": port,
            REGION: places.get(REGION),
        }
        values.update(row.format.read_request(sent))
        model = values.get("model")
        if type(model) is not str and model is not None:  # its provider will say that this is no name
            values["model"] = str(model) if isinstance(model, int | float) else None
        if sent.provider.tier_at and (tier := sent.provider.tier_at.get(host.lower())):
            values["pricing_tier"] = values[SAID_TIER] = tier
        _attribute(values, headers)
        return Exchange(self, row, sent, raw, values)

    def _batch(self, found: Found, method: str, path: str, query: str, headers: Headers) -> Exchange | None:
        """An exchange for a request about a batch; None for a batch that nobody started here."""
        provider, row, places = found
        if provider is None:
            return None
        from spectra_otel.instrumentors.batches import PREFIX, BatchCall

        seed: Values | None = {}
        if row.batch != "start":
            seed = self.jobs.find(provider.name, PREFIX + places["job"])
        if seed is None:
            self.skipped += 1
            return None
        return BatchCall(self, row, Sent(provider, method, path, query, headers, {}, places), seed)

    def _poll(self, found: Found, method: str, path: str, query: str, headers: Headers, raw: Body) -> Exchange | None:
        """An exchange for a request that asks after a job of ours; None for a job that is done, or nobody's."""
        provider, row, places = found
        if "job" not in places:
            body = read_request_body(raw, headers.get("content-type") or "")
            places = {**places, "job": row.format.asked_job(body) or ""}
        seed = self.jobs.find(provider.name, places["job"]) if provider is not None else None
        if provider is None or seed is None:
            self.skipped += 1
            return None
        from spectra_otel.instrumentors.polls import Poll

        return Poll(self, row, Sent(provider, method, path, query, headers, {}, places), seed)


def _attribute(values: Values, headers: Headers) -> None:
    """Who the call is for: what the app says wins over what the request says."""
    known = context.known_fields()
    if known:
        if "metadata" in values and "metadata" in known:
            known["metadata"] = merge(values["metadata"], known["metadata"])
        tier = known.pop("pricing_tier", None)
        values.update(known)
        if tier:
            values["requested_tier"] = values[SAID_TIER] = tier
    retries = headers.get("x-stainless-retry-count")
    if retries is not None and retries.isdecimal():
        values["attempt"] = int(retries) + 1
    account = headers.get("openai-project") or headers.get("openai-organization")
    key = (
        headers.get("authorization")
        or headers.get("x-api-key")
        or headers.get("x-goog-api-key")
        or headers.get("api-key")
    )
    if key and key.startswith(
        AWS_SIGNATURE
    ):  # a signature of each request on its own; the key's id in it stays the same
        key = key.partition("Credential=")[2].partition("/")[0]
    put_text(values, "provider_account", account or (_fingerprint(key) if key else None))


@lru_cache(maxsize=256)
def _fingerprint(key: str) -> str:
    """A short name for a key from which the key cannot be had."""
    return "key-" + hashlib.sha256(b"spectra\0" + key.encode()).hexdigest()[:12]
