"""The official OTLP/HTTP exporter, made from our settings and from nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TRACES_HEADERS
from opentelemetry.util.re import parse_env_headers

from spectra_otel.exporters.otlp_http.config import OtlpHttpConfig

_COMPRESSION = {"": "none", "zlib": "deflate", "zstd": "gzip"}
"""What the official exporter does not have; zlib is what HTTP calls deflate, and every receiver knows gzip."""


def make_exporter(config: OtlpHttpConfig) -> OTLPSpanExporter:
    """The exporter; its retry, compression and TLS are those of opentelemetry-exporter-otlp-proto-http."""
    headers = {name: value.reveal() for name, value in config.headers.items()}
    return OTLPSpanExporter(
        endpoint=config.url,
        certificate_file=config.tls.ca_file or None,
        client_certificate_file=config.tls.cert_file or None,
        client_key_file=config.tls.key_file or None,
        headers=headers,
        timeout=float(config.timeout),
        compression=Compression(_COMPRESSION.get(config.compression, config.compression)),
        session=_OwnSession(headers, config),
    )


class _OwnSession(requests.Session):
    """Sends as our settings say, whatever the environment says of other destinations.

    The official exporter adds the headers of ``OTEL_EXPORTER_OTLP_HEADERS`` to whatever it sends; they hold the credentials of
    the application's own backend, which no other destination must see. And requests prefers ``REQUESTS_CA_BUNDLE`` to the
    authority that a session was given.
    """

    def __init__(self, own: Iterable[str], config: OtlpHttpConfig) -> None:
        super().__init__()
        self._ca_file = config.tls.ca_file
        self._skips = config.tls.insecure_skip_verify
        self.proxies = proxies_of(config)
        text = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_HEADERS) or os.environ.get(OTEL_EXPORTER_OTLP_HEADERS, "")
        self._foreign = set(parse_env_headers(text, liberal=True)) - {name.lower() for name in own}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        for name in self._foreign:
            request.headers.pop(name, None)
        if self._ca_file or self._skips:
            kwargs["verify"] = False if self._skips else self._ca_file
        return super().send(request, **kwargs)


def proxies_of(config: OtlpHttpConfig) -> dict[str, str]:
    """``proxies`` of a session of requests."""
    return dict.fromkeys(("http", "https"), config.proxy_url) if config.proxy_url else {}
