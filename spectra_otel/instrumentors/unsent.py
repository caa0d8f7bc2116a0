"""Whether a failed call ever reached its provider: one that could not connect, or not agree on a cipher, was never sent.

httpx, aiohttp and botocore have classes for it. requests has one error for many ends, and what happened beneath: a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

_NAMES = frozenset(
    {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError", "InvalidURL",  # httpx, requests
        "InvalidSchema", "InvalidProxyURL", "MissingSchema", "InvalidHeader", "NewConnectionError", "ConnectTimeoutError",
        "ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError", "ClientConnectorCertificateError",
        "ClientProxyConnectionError", "ClientHttpProxyError", "ConnectionTimeoutError", "ServerFingerprintMismatch",  # aiohttp
        "EndpointConnectionError", "ProxyConnectionError",  # botocore
        "ConnectionRefusedError", "gaierror", "SSLCertVerificationError",  # a transport of the app's own
    }
)  # fmt: skip
"""Classes of errors, of which one is enough, that say that no request was sent."""
_DEEPEST = 6
_HANDSHAKE = frozenset({"do_handshake", "_validate_conn", "_prepare_proxy"})
"""Functions of ``ssl`` and urllib3 in which a connection is made ready: what fails there was not sent."""


def is_unsent(error: BaseException) -> bool:
    """Whether the request that ended in this error was never sent. Never raises."""
    try:
        return any(_says_so(one) for one in _beneath(error, _DEEPEST))
    except Exception:  # code of the app's or of its client's
        return False


def _says_so(error: BaseException) -> bool:
    if any(kind.__name__ in _NAMES for kind in type(error).__mro__):
        return True
    return isinstance(error, OSError) and "SSL" in type(error).__name__ and _was_in_handshake(error.__traceback__)


def _was_in_handshake(at: TracebackType | None) -> bool:
    while at is not None:
        if at.tb_frame.f_code.co_name in _HANDSHAKE:
            return True
        at = at.tb_next
    return False


def _beneath(error: BaseException, levels: int) -> Iterator[BaseException]:
    """An error and those that it was made of: its cause, its reason, and what it was given."""
    yield error
    if not levels:
        return
    given = (*error.args[:1], getattr(error, "kwargs", {}).get("error"))  # botocore
    found = (error.__cause__, getattr(error, "reason", None), *given)
    for one in found:
        if isinstance(one, BaseException) and one is not error:
            yield from _beneath(one, levels - 1)
