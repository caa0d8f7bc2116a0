"""Pipelines that would send to a receiver of their own collector: what enters one would go round for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spectra_otel.component import ComponentID
from spectra_otel.config.document import Document, PipelineSpec
from spectra_otel.errors import ConfigError
from spectra_otel.service.otlp_receiver.config import OtlpReceiverConfig
from spectra_otel.service.sending.client import ClientSettings

_HERE = frozenset(("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"))
"""Hosts of this machine, to listen on or to send to."""
_ADDRESS = re.compile(r"(?:https?://)?(?:\[([^]]*)\]|([^:/]*)):(\d+)(?:/|\Z)")


def refuse_loops(document: Document) -> None:
    """Raise :class:`ConfigError` where a pipeline, or several one after the other, feed themselves.

    Inside an application such a file is right: its receivers are not started there.
    """
    for spec in document.pipelines:
        for exporter, receiver, other in _links(document, spec):
            if spec in _behind(document, other):
                raise ConfigError(
                    f'service::pipelines::{spec.id}: exporter "{exporter}" sends to {_target(document, spec, exporter)}, '
                    f'where receiver "{receiver}" of this collector listens: what it sends would go round for ever'
                )


def _behind(document: Document, first: PipelineSpec) -> list[PipelineSpec]:
    """``first`` and the pipelines that what leaves it comes to."""
    found = [first]
    for spec in found:  # grows on the way
        found += [other for _, _, other in _links(document, spec) if other not in found]
    return found


def _links(document: Document, spec: PipelineSpec) -> Iterator[tuple[ComponentID, ComponentID, PipelineSpec]]:
    """Exporters of a pipeline that send to a receiver, that receiver, and a pipeline behind it."""
    for exporter in spec.exporters:
        target = _address(_target(document, spec, exporter))
        if target is None:
            continue
        for other in document.pipelines:
            for receiver in other.receivers:
                if other.id.type == spec.id.type and target in _listens(document, receiver):
                    yield exporter, receiver, other


def _target(document: Document, spec: PipelineSpec, exporter: ComponentID) -> str:
    config: Any = document.exporters[exporter].config
    if not isinstance(config, ClientSettings):
        return ""
    own: str = getattr(config, f"{spec.id.type}_endpoint", "")
    return own or config.endpoint


def _listens(document: Document, receiver: ComponentID) -> list[tuple[str, int] | None]:
    config = document.receivers[receiver].config
    if not isinstance(config, OtlpReceiverConfig):
        return []
    servers = [server for server in (config.protocols.grpc, config.protocols.http) if server is not None]
    return [_address(server.endpoint) for server in servers if server.transport == "tcp"]


def _address(text: str) -> tuple[str, int] | None:
    """Host and port; one name for all hosts of this machine. None where no port is said, or the system chooses one."""
    found = _ADDRESS.match(text)
    if found is None or not int(found[3]):
        return None
    host = (found[1] or found[2] or "").lower()
    return ("localhost" if host in _HERE else host), int(found[3])
