"""The ``otlp`` receiver: both protocols, over one pool of threads that decode."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Protocol

from spectra_otel.component import ComponentID
from spectra_otel.errors import ConfigError
from spectra_otel.service.delivery import ReceiverHost
from spectra_otel.service.otlp_receiver.config import OtlpReceiverConfig

_DECODERS = 2
_NEEDS = {"http": "aiohttp", "grpc": "grpc"}


class OtlpReceiver:
    """Listens on the protocols that are on."""

    def __init__(self, id_: ComponentID, config: OtlpReceiverConfig) -> None:
        self._id = id_
        self._config = config
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="spectra-decode")
        self.ports: dict[str, int] = {}
        """Protocol → the port it got."""
        self._running: list[_Half] = []
        for name, module in _NEEDS.items():
            if getattr(config.protocols, name) is not None and not find_spec(module):
                raise ConfigError(
                    f"{name}: needs {module}, which is not installed: pip install 'spectra-otel[collector]'"
                )

    async def start(self, host: ReceiverHost) -> None:
        """Listen. Raises :class:`ConfigError` where that is not possible."""
        protocols = self._config.protocols
        halves: dict[str, _Half] = {}
        if protocols.grpc is not None:
            from spectra_otel.service.otlp_receiver.grpc import GrpcReceiver

            halves["grpc"] = GrpcReceiver(self._id, protocols.grpc, host, self._decoders)
        if protocols.http is not None:
            from spectra_otel.service.otlp_receiver.http import HttpReceiver

            halves["http"] = HttpReceiver(self._id, protocols.http, host, self._decoders)
        for name, half in halves.items():
            self._running.append(half)
            await half.start()
            self.ports[name] = half.port

    async def stop(self) -> None:
        """Stop listening; what is under way is answered first."""
        await asyncio.gather(*(half.stop() for half in self._running))
        self._decoders.shutdown()


class _Half(Protocol):
    port: int

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
