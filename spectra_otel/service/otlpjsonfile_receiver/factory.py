"""``otlpjsonfile``: follows files of OTLP JSON, one request a line, as the collector's file exporter writes them."""

from __future__ import annotations

import asyncio
import glob
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spectra_otel.component import ComponentID, Factory, Stability
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.otlp.json_wire import protobuf_of
from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import SIGNALS
from spectra_otel.service.delivery import Payload, Receiver, ReceiverHost, payload_of

_LONGEST_LINE = 64 << 20
_KEYS = {b"resourceSpans": "traces", b"resourceMetrics": "metrics", b"resourceLogs": "logs"}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class OtlpJsonFileConfig:
    """Settings of ``otlpjsonfile``, named as the collector's."""

    include: list[str] = field(default_factory=list)
    """Files, as glob patterns."""
    exclude: list[str] = field(default_factory=list)
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin in a file that is there when the collector starts."""
    poll_interval: Duration = Duration(0.2)  # noqa: RUF009  (durations are immutable)

    def validate(self) -> None:
        """Raise ConfigError unless there is something to read."""
        if not self.include:
            raise ConfigError("required argument `include` is empty")
        if self.poll_interval <= 0:
            raise ConfigError(f"poll_interval: got '{self.poll_interval}', valid: a duration above 0s")


class OtlpJsonFileReceiver:
    """Follows files by name. A file that became shorter is read from its beginning: it was made anew."""

    def __init__(self, id_: ComponentID, config: OtlpJsonFileConfig) -> None:
        self._id = id_
        self._config = config
        self._offsets: dict[Path, int] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: ReceiverHost) -> None:
        """Begin to follow."""
        if self._config.start_at == "end":
            self._offsets = {path: path.stat().st_size for path in self._files()}
        self._task = asyncio.get_running_loop().create_task(self._follow(host))

    async def stop(self) -> None:
        """Stop after the line that is under way."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self, host: ReceiverHost) -> None:
        while True:
            for path in self._files():
                try:
                    await self._read(host, path)
                except OSError as error:
                    _log.warning("receiver %s: %s: %s", self._id, path, error.strerror)
            await asyncio.sleep(float(self._config.poll_interval))

    def _files(self) -> list[Path]:
        excluded = {name for pattern in self._config.exclude for name in glob.glob(pattern, recursive=True)}
        found = {name for pattern in self._config.include for name in glob.glob(pattern, recursive=True)}
        return [path for name in sorted(found - excluded) if (path := Path(name)).is_file()]

    async def _read(self, host: ReceiverHost, path: Path) -> None:
        """Whole lines only: what is being written is read the next time."""
        offset = self._offsets.get(path, 0)
        if path.stat().st_size < offset:
            offset = 0
        with path.open("rb") as file:
            file.seek(offset)
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                if line.strip():
                    await self._deliver(host, path, offset, line)
                offset += len(line)
                self._offsets[path] = offset

    async def _deliver(self, host: ReceiverHost, path: Path, offset: int, line: bytes) -> None:
        try:
            payload = _payload(line)
        except BadRequestError as error:
            _log.error("receiver %s: %s at byte %d: %s", self._id, path, offset, error)
            return
        if not host.takes(self._id, payload.signal):
            return
        while True:
            outcome = await asyncio.wrap_future(host.deliver(self._id, payload))
            what = "accepted" if outcome.error is None else "refused" if outcome.is_transient else "failed"
            host.telemetry.received(str(self._id), "file", payload.signal, payload.items, what)
            if outcome.error is None or not outcome.is_transient:
                return
            await asyncio.sleep(outcome.retry_after)


def _payload(line: bytes) -> Payload:
    name = next((name for key, name in _KEYS.items() if key in line[:200]), None)
    if name is None:
        raise BadRequestError("not an OTLP JSON request: resourceSpans, resourceMetrics or resourceLogs is needed")
    return payload_of(SIGNALS[name], protobuf_of(SIGNALS[name], line))


def factory() -> Factory[OtlpJsonFileConfig, Receiver]:
    """Make the factory."""
    return Factory("otlpjsonfile", Stability.BETA, OtlpJsonFileConfig, _create)


def _create(id_: ComponentID, config: OtlpJsonFileConfig) -> Receiver:
    return OtlpJsonFileReceiver(id_, config)
