"""Sockets on every address of a host name: all of them, or an error that says why not.

A server that takes ``localhost`` on ``::1`` alone, because another program has ``127.0.0.1``, would start without a word and hear
nothing: clients go to the other program.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from spectra_otel.errors import ConfigError
from spectra_otel.service.exposition import split_endpoint

_NOT_HERE = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))
"""``::1`` often stands in the hosts file of a container that has no IPv6."""


def bound(endpoint: str) -> list[socket.socket]:
    """Bound sockets for ``host:port``, with one port where it is 0; ``[::]`` is IPv4 too. Raises :class:`ConfigError`."""
    host, port = split_endpoint(endpoint)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in _addresses(host):
            try:
                sockets.append(_bind(family, address, port))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
            else:
                port = sockets[-1].getsockname()[1]
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for each in sockets:
            each.close()
        raise ConfigError(f"cannot listen on '{endpoint}': {reason(error)}") from error
    return sockets


def check_free(endpoint: str) -> None:
    """Raise :class:`ConfigError` where :func:`bound` would, for a server that makes its own sockets."""
    for each in bound(endpoint):
        each.close()


def check_path(path: str) -> None:
    """Raise :class:`ConfigError` unless a socket can be made at ``path``; one that nobody listens on any more is no obstacle."""
    folder = Path(path).absolute().parent
    try:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES if folder.exists() else errno.ENOENT, "")
        with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionError, FileNotFoundError):
            probe.connect(path)
            raise OSError(errno.EADDRINUSE, "")
    except OSError as error:
        raise ConfigError(f"cannot listen on '{path}': {reason(error)}") from error


def reason(error: OSError) -> str:
    """What the system says of an error, without what a library puts around it."""
    is_of_system = error.errno is not None and not isinstance(error, socket.gaierror)
    return os.strerror(error.errno) if is_of_system and error.errno else error.strerror or str(error)


def _addresses(host: str) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _bind(family: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made
