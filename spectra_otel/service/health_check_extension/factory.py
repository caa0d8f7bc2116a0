"""``health_check``: answers probes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.errors import ConfigError
from spectra_otel.service.exposition import Answer, SmallServer, split_endpoint


@dataclass(slots=True)
class HealthCheckConfig:
    """Settings of ``health_check``, named as the collector's."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("check_collector_pipeline",))

    endpoint: str = "localhost:13133"
    path: str = "/"
    """``/`` is every path, as in the collector."""
    response_body: dict[str, str] = field(default_factory=dict)
    """``healthy`` and ``unhealthy``: what to answer instead of the usual text."""

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        split_endpoint(self.endpoint)
        if not self.path.startswith("/"):
            raise ConfigError(f"path: got '{self.path}', valid: a path that begins with /")
        unknown = sorted(set(self.response_body) - {"healthy", "unhealthy"})
        if unknown:
            raise ConfigError(f"response_body: got '{unknown[0]}', valid: healthy, unhealthy")


class HealthCheck:
    """200 while every receiver is listening, 503 before and after."""

    def __init__(self, config: HealthCheckConfig) -> None:
        self._config = config
        self._server: SmallServer | None = None
        self._began = time.time()
        self._collector: Any = None

    @property
    def port(self) -> int:
        """The port it got; 0 where it is not started."""
        return self._server.port if self._server is not None else 0

    def start(self, collector: Any) -> None:
        """Begin to answer; ``collector.is_ready`` is what it says."""
        self._collector = collector
        self._server = SmallServer(self._config.endpoint, self._answer)

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()

    def _answer(self, path: str) -> Answer:
        if self._config.path not in ("/", path):
            return 404, "text/plain", "404 page not found\n"
        is_ready = self._collector.is_ready
        own = self._config.response_body.get("healthy" if is_ready else "unhealthy")
        if own is not None:
            return (200 if is_ready else 503), "text/plain", own
        body: dict[str, str] = {"status": "Server available" if is_ready else "Server not available"}
        if is_ready:
            body |= {
                "upSince": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
                "uptime": f"{time.time() - self._began:.3f}s",
            }
        return (200 if is_ready else 503), "application/json", orjson.dumps(body).decode()


def factory() -> Factory[HealthCheckConfig, HealthCheck]:
    """Make the factory."""
    return Factory("health_check", Stability.BETA, HealthCheckConfig, _create)


def _create(id_: ComponentID, config: HealthCheckConfig) -> HealthCheck:
    return HealthCheck(config)
