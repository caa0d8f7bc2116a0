"""Metrics in memory, and their text in Prometheus' exposition format, served over HTTP.

Used for the collector's own metrics and by the ``prometheus`` exporter. Counters and gauges are numbers by labels; a histogram
has the buckets of its family. Label values are bounded by whoever sets them.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from spectra_otel.errors import ConfigError

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted (name, value) pairs."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def labels(values: Mapping[str, object]) -> Labels:
    """``values`` as labels; what is None is left out."""
    return tuple(sorted((name, str(value)) for name, value in values.items() if value is not None))


@dataclass(slots=True)
class Buckets:
    """One series of a histogram: counts by bucket (not cumulative), and the sum."""

    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Family:
    """All series of one name. ``kind`` is counter, gauge or histogram; ``bounds`` are a histogram's upper bounds."""

    name: str
    kind: str
    help: str
    bounds: tuple[float, ...] = ()
    series: dict[Labels, Any] = field(default_factory=dict)
    touched: dict[Labels, float] = field(default_factory=dict)
    """When each series last changed (monotonic seconds)."""


class Metrics:
    """A set of families. Thread-safe."""

    def __init__(self, *, expiration: float | None = None) -> None:
        """``expiration``: seconds after which a series that no longer changes is left out of the text.

        It is kept: one that began again at 0 would be less than it was, or hide what came since.
        """
        self._families: dict[str, Family] = {}
        self._watched: dict[str, tuple[Family, list[Callable[[], Iterable[tuple[Labels, float]]]]]] = {}
        self._lock = threading.Lock()
        self._expiration = expiration

    def declare(self, name: str, kind: str, help: str, bounds: Iterable[float] = ()) -> None:
        """Make a family known; one that has no series yet is not shown."""
        self._families[name] = Family(name, kind, help, tuple(bounds))

    def watch(self, name: str, kind: str, help: str, read: Callable[[], Iterable[tuple[Labels, float]]]) -> None:
        """A family whose values are read when somebody looks; several may add series to one name."""
        self._watched.setdefault(name, (Family(name, kind, help), []))[1].append(read)

    def add(self, name: str, amount: float | Decimal, key: Labels = ()) -> None:
        """Add to a counter or gauge; decimals are summed exactly."""
        with self._lock:
            family = self._families[name]
            family.series[key] = family.series.get(key, 0) + amount
            family.touched[key] = time.monotonic()

    def observe(self, name: str, value: float, key: Labels = ()) -> None:
        """Count a value in a histogram."""
        with self._lock:
            family = self._families[name]
            found = family.series.get(key)
            if found is None:
                found = family.series[key] = Buckets([0] * (len(family.bounds) + 1))
            found.counts[bisect_left(family.bounds, value)] += 1
            found.total += value
            family.touched[key] = time.monotonic()

    def value(self, name: str, **wanted: str) -> float:
        """The sum over the series whose labels include ``wanted``."""
        with self._lock:
            family = self._families[name]
            chosen = set(wanted.items())
            return float(sum(value for key, value in family.series.items() if chosen <= set(key)))

    def text(self) -> str:
        """All series in the exposition format."""
        lines: list[str] = []
        with self._lock:
            for family in self._families.values():
                lines += _lines(family, self._current(family))
        for family, reads in self._watched.values():
            family.series = {key: value for read in reads for key, value in read()}
            lines += _lines(family, family.series)
        return "".join(f"{line}\n" for line in lines)

    def _current(self, family: Family) -> Mapping[Labels, Any]:
        if self._expiration is None:
            return family.series
        oldest = time.monotonic() - self._expiration
        return {key: value for key, value in family.series.items() if family.touched[key] >= oldest}


def _lines(family: Family, series: Mapping[Labels, Any]) -> Iterator[str]:
    if not series:
        return
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for key, value in series.items():
        if family.kind != "histogram":
            yield f"{family.name}{_written(key)} {_number(value)}"
            continue
        count = 0
        bounds = [*family.bounds, math.inf]
        for bound, here in zip(bounds, value.counts, strict=True):
            count += here
            yield f"{family.name}_bucket{_written((*key, ('le', _number(bound))))} {count}"
        yield f"{family.name}_sum{_written(key)} {_number(value.total)}"
        yield f"{family.name}_count{_written(key)} {count}"


def _written(key: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in key) + "}" if key else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float | Decimal) -> str:
    number = float(value)
    if number == math.inf:
        return "+Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


Answer: TypeAlias = tuple[int, str, str]
"""Status, content type, text."""


class SmallServer:
    """Answers GET and HEAD requests on a thread of its own: metrics and health, for scrapers and probes.

    Raises :class:`ConfigError` where the address cannot be had. ``port`` is the one it got.
    """

    def __init__(self, endpoint: str, answer: Callable[[str], Answer]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._answer(is_whole=True)

            def do_HEAD(self) -> None:
                """As some probes ask."""
                self._answer(is_whole=False)

            def _answer(self, *, is_whole: bool) -> None:
                status, content_type, text = answer(self.path.partition("?")[0])
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if is_whole:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Scrapes are not news."""

        host, port = split_endpoint(endpoint)

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise ConfigError(f"cannot listen on '{endpoint}': {error.strerror}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """``host:port`` in its parts; an empty host is every interface. Raises :class:`ConfigError`."""
    host, colon, port = endpoint.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ConfigError(f"endpoint: got '{endpoint}', valid: host:port such as localhost:4318")
    return host.strip("[]") or "0.0.0.0", int(port)


def with_port(endpoint: str, port: int) -> str:
    """``endpoint`` as it can be reached: where it left the port to the system, with the one it got."""
    return f"{endpoint.removesuffix(':0')}:{port}" if endpoint.endswith(":0") else endpoint
