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
        compression=Compression(config.compression),
        session=_OwnHeadersSession(headers),
    )


class _OwnHeadersSession(requests.Session):
    """Sends without the headers of ``OTEL_EXPORTER_OTLP_HEADERS``.

    The official exporter adds them to whatever it sends. They hold the credentials of the application's own backend, which no
    other destination must see.
    """

    def __init__(self, own: Iterable[str]) -> None:
        super().__init__()
        text = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_HEADERS) or os.environ.get(OTEL_EXPORTER_OTLP_HEADERS, "")
        self._foreign = set(parse_env_headers(text, liberal=True)) - {name.lower() for name in own}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        for name in self._foreign:
            request.headers.pop(name, None)
        return super().send(request, **kwargs)
