"""What the receiver answers, by the OTLP specification: statuses, bodies, and how a body is unpacked within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec

import orjson
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from spectra_otel.otlp.protobuf import BadRequestError
from spectra_otel.otlp.signals import Signal
from spectra_otel.otlp.text import with_texts
from spectra_otel.service.delivery import Payload, payload_of

PROTOBUF, JSON = "application/x-protobuf", "application/json"

# gRPC status codes, which the bodies of HTTP answers carry too.
INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = (
    3,
    5,
    8,
    12,
    13,
    14,
    16,
)


class TooLargeError(BadRequestError):
    """A body of more bytes than the receiver takes, after decompression."""


def success_body(content_type: str, rejected: int = 0, reason: str = "") -> bytes:
    """An ``Export…ServiceResponse``: empty, or with the number of spans that were not taken and shall not be sent again."""
    if not rejected:
        return b'{"partialSuccess":{}}' if content_type == JSON else b""
    if content_type == JSON:
        return orjson.dumps({"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": reason}})
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=reason)
    body: bytes = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    return body


def status_body(content_type: str, code: int, message: str, retry_after: int | None = None) -> bytes:
    """An ``rpc.Status`` in the content type of the request."""
    if content_type == JSON:
        return orjson.dumps({"code": code, "message": message})
    body: bytes = status_of(code, message, retry_after).SerializeToString()
    return body


def status_of(code: int, message: str, retry_after: int | None = None) -> Status:
    """An ``rpc.Status``, with ``RetryInfo`` where the sender shall come back after so many seconds."""
    status = Status(code=code, message=message)
    if retry_after is not None:
        detail = ProtoAny()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=retry_after)))
        status.details.append(detail)
    return status


def received(signal: Signal, body: bytes, metadata: Mapping[str, str]) -> Payload:
    """The payload of a protobuf request; one that is bad for a text which is not UTF-8 alone is mended.

    Raises :class:`BadRequestError`.
    """
    try:
        return payload_of(signal, body, metadata)
    except BadRequestError:
        mended = with_texts(signal, body)
        if mended is None:
            raise
        return payload_of(signal, mended, metadata)


def unpack(encoding: str, body: bytes, limit: int) -> bytes:
    """The body behind a content encoding, never more than ``limit`` bytes of it in memory.

    Raises :class:`TooLargeError`, or :class:`BadRequestError` for a body that is not of that encoding.
    """
    unpacked = _UNPACK[encoding](body, limit)
    if len(unpacked) > limit:
        raise TooLargeError(f"request body too large: more than {limit} bytes after decompression")
    return unpacked


def _zlib(bits: int) -> Callable[[bytes, int], bytes]:
    def unpack_zlib(body: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while body or not parts:
                decompressor = zlib.decompressobj(bits)
                parts.append(decompressor.decompress(body, limit + 1 - size))
                size += len(parts[-1])
                if size > limit:
                    break
                if not decompressor.eof:
                    raise BadRequestError("the compressed body is not whole")
                body = decompressor.unused_data  # gzip may be several members, one after the other
        except zlib.error as error:
            raise BadRequestError(f"the body is not compressed as it says: {error}") from None
        return b"".join(parts)

    return unpack_zlib


def _zstd(body: bytes, limit: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=8 << 20)  # the largest the format asks receivers to take
    try:
        with decompressor.stream_reader(body, read_across_frames=True) as reader:
            unpacked: bytes = reader.read(limit + 1)
            return unpacked
    except zstandard.ZstdError as error:
        raise BadRequestError(f"the body is not compressed as it says: {error}") from None


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "": lambda body, limit: body,
    "gzip": _zlib(31),
    "deflate": _zlib(15),  # HTTP's deflate is zlib's format
    "zlib": _zlib(15),
    "zstd": _zstd,
}


@cache
def encodings() -> frozenset[str]:
    """The content encodings that can be unpacked here; zstd needs a package."""
    return frozenset(name for name in _UNPACK if name != "zstd" or find_spec("zstandard"))
