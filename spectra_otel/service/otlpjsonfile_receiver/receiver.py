"""Reads lines of files that grow, and hands each over as a request."""

from __future__ import annotations

import asyncio
import glob
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from spectra_otel.component import ComponentID
from spectra_otel.otlp.json_wire import protobuf_of
from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import SIGNALS
from spectra_otel.service.delivery import Payload, ReceiverHost, payload_of
from spectra_otel.service.otlpjsonfile_receiver.followed import Files, Followed

if TYPE_CHECKING:
    from spectra_otel.service.otlpjsonfile_receiver.factory import OtlpJsonFileConfig

_SAVED_EVERY = 100
"""Lines: as many are read twice at most after a crash."""
_KEYS = {b"resourceSpans": "traces", b"resourceMetrics": "metrics", b"resourceLogs": "logs"}
_log = logging.getLogger(__name__)


class StorageHost(Protocol):
    """The collector, as whoever keeps something sees it."""

    def storage_folder(self, storage: str, name: str) -> Path:
        """Where the component ``name`` keeps what outlives the process. Raises :class:`ConfigError`."""
        ...


class OtlpJsonFileReceiver:
    """Follows files. What was read is remembered across restarts: a line is read again only after a crash."""

    def __init__(self, id_: ComponentID, config: OtlpJsonFileConfig) -> None:
        self._id = id_
        self._config = config
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: ReceiverHost) -> None:
        """Begin to follow. Raises :class:`ConfigError` for a storage that is not there."""
        storage = cast("StorageHost", host).storage_folder(self._config.storage, f"receiver_{self._id}")
        files = Files(storage / "read.json", self._paths(), at_end=self._config.start_at == "end")
        self._task = asyncio.get_running_loop().create_task(self._follow(host, files))

    async def stop(self) -> None:
        """Stop after the line that is under way."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _follow(self, host: ReceiverHost, files: Files) -> None:
        files.save()  # what is there now is known from now on
        while not self._stopping.is_set():
            count = 0
            for followed in files.grown(self._paths()):
                try:
                    count += await self._read(host, files, followed)
                except OSError as error:
                    _log.warning("receiver %s: %s: %s", self._id, followed.path, error.strerror)
            if count:
                files.save()
            await self._pause(float(self._config.poll_interval))
        files.close()

    def _paths(self) -> list[Path]:
        excluded = {name for pattern in self._config.exclude for name in glob.glob(pattern, recursive=True)}
        found = {name for pattern in self._config.include for name in glob.glob(pattern, recursive=True)}
        return [path for name in sorted(found - excluded) if (path := Path(name)).is_file()]

    async def _read(self, host: ReceiverHost, files: Files, followed: Followed) -> int:
        """How many lines were dealt with."""
        count = 0
        for line in followed.lines():
            if line.strip() and not await self._deliver(host, followed, line):
                break
            followed.offset += len(line)
            count += 1
            if count % _SAVED_EVERY == 0:
                files.save()
        return count

    async def _deliver(self, host: ReceiverHost, followed: Followed, line: bytes) -> bool:
        """Whether the line is dealt with; False where it is to be read again at the next start."""
        try:
            payload = await asyncio.to_thread(_payload, line)
        except BadRequestError as error:
            _log.error("receiver %s: %s at byte %d: %s", self._id, followed.path, followed.offset, error)
            return True
        if not host.takes(self._id, payload.signal):
            return True
        while not self._stopping.is_set():
            outcome = await asyncio.wrap_future(host.deliver(self._id, payload))
            host.telemetry.answered(str(self._id), "file", payload.signal, payload.items, outcome)
            if outcome.error is None or not outcome.is_transient:
                return True
            await self._pause(outcome.retry_after)
        return False

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _payload(line: bytes) -> Payload:
    name = next((name for key, name in _KEYS.items() if key in line[:200]), None)
    if name is None:
        raise BadRequestError("not an OTLP JSON request: resourceSpans, resourceMetrics or resourceLogs is needed")
    return payload_of(SIGNALS[name], protobuf_of(SIGNALS[name], line))
