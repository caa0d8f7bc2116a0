"""OTLP/HTTP as the collector sends it: the protobuf request as it is, any signal."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import local

import requests

from spectra_otel.exporters.otlp_http.config import OtlpHttpConfig
from spectra_otel.exporters.otlp_http.exporter import proxies_of
from spectra_otel.otlp.signals import Signal
from spectra_otel.otlp.transport import PROTOBUF, SendError, reason_of, report_partial

_RETRYABLE = frozenset((429, 502, 503, 504))
_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "zstd": lambda body: _zstd(body),
    "zlib": zlib.compress,
    "deflate": zlib.compress,
    "none": lambda body: body,
    "": lambda body: body,
}


class HttpTransport:
    """Posts requests; a session per thread, because those of requests are not for sharing."""

    def __init__(self, config: OtlpHttpConfig) -> None:
        self._config = config
        self._headers = {
            "Content-Type": PROTOBUF,
            "User-Agent": "spectra-otel",
            **({"Content-Encoding": config.compression} if config.compression not in ("none", "") else {}),
            **{name: value.reveal() for name, value in config.headers.items()},
        }
        self._credentials: Callable[[], Mapping[str, str]] = dict
        self._threads = local()

    def add_headers(self, headers: Callable[[], Mapping[str, str]]) -> None:
        """Ask ``headers`` for more of them with each request."""
        self._credentials = headers

    def send(self, signal: Signal, body: bytes) -> None:
        """Post one request. Raises :class:`SendError`."""
        url = self._config.url_of(signal.name)
        data = _COMPRESS[self._config.compression](body)
        try:
            headers = {**self._headers, **self._credentials()}
        except OSError as error:
            raise SendError(f"{url}: no credentials: {error}", is_transient=True) from None
        try:
            answer = self._session().post(
                url, data=data, headers=headers, timeout=float(self._config.timeout), allow_redirects=False
            )
        except requests.RequestException as error:
            raise SendError(f"{url}: {reason_of(error)}", is_transient=True) from None
        if answer.status_code // 100 == 2:
            report_partial(url, answer.headers.get("Content-Type", ""), answer.content)
            return
        raise SendError(
            f"{url}: HTTP status {answer.status_code}: {answer.text[:200]!r}",
            is_transient=answer.status_code in _RETRYABLE,
            retry_after=_retry_after(answer) if answer.status_code in (429, 503) else 0.0,
        )

    def close(self) -> None:
        """Sessions end with their threads."""

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
            session.trust_env = False  # neither a .netrc nor a proxy of the environment is ours to use
            tls = self._config.tls
            session.verify = not tls.insecure_skip_verify and (tls.ca_file or True)
            session.proxies = proxies_of(self._config)
            if tls.cert_file:
                session.cert = (tls.cert_file, tls.key_file)
        return session


def _zstd(body: bytes) -> bytes:
    import zstandard

    compressed: bytes = zstandard.ZstdCompressor().compress(body)
    return compressed


def _retry_after(answer: requests.Response) -> float:
    """Seconds, from either form of the header."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
