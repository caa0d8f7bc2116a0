"""Compressed answers: every client decompresses them as ever, and the record says what is in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from tests.instrumentors.servers import Handler, serving
from tests.instrumentors.test_clients import CALLS, PIECEWISE, Call, with_aiohttp_lines

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
BODY = json.dumps({"id": "c1", "model": "gpt-4o-2024-08-06", "usage": USAGE, "choices": [
    {"index": 0, "message": {"content": "word " * 500}, "finish_reason": "stop"}]}).encode()  # fmt: skip
CHUNKS = b"".join(
    b'data: {"id": "c1", "choices": [{"delta": {"content": "%s"}, "finish_reason": null}]}\n\n' % word.hex().encode()
    for word in (hashlib.sha256(bytes([n])).digest() for n in range(200))
)
COUNTS = b'data: {"id": "c1", "choices": [], "usage": %s}\n\n' % json.dumps(USAGE).encode()
END = b"data: [DONE]\n\n"
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture
def ask(recorder, monkeypatch):
    """Send one request with a client to a server that answers in an encoding, in small pieces; what the app reads."""

    def ask(call: Call, encoding: str, plain: bytes, kind: str, stop_after: int | None = None, **more: object) -> bytes:
        raw = ENCODINGS[encoding](plain)

        def answer(handler: Handler, _body: bytes) -> None:
            size = max(40, len(raw) // 100)
            handler.pieces(
                (raw[at : at + size] for at in range(0, len(raw), size)), content_type=kind, content_encoding=encoding
            )

        with serving(answer) as server:
            monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}=openai")
            recorder.install()
            return call(f"http://{server.host}/v1/chat/completions", {**ASK, **more}, stop_after)

    return ask


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("call", CALLS)
def test_a_plain_answer(call, encoding, ask, recorder):
    """Whole or in pieces."""
    assert ask(call, encoding, BODY, "application/json") == BODY
    assert (recorder.only["prompt_tokens"], recorder.only.get("error_type")) == (12, None)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("call", CALLS)
def test_a_stream_lacks_the_chunk_that_only_we_asked_for(call, encoding, ask, recorder):
    """And nothing else."""
    seen = ask(call, encoding, CHUNKS + COUNTS + END, "text/event-stream", stream=True)
    assert seen == CHUNKS + END
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("call", PIECEWISE)
def test_a_stream_left_early_is_estimated_from_what_came(call, encoding, ask, recorder):
    """As if it were not compressed."""
    ask(call, encoding, CHUNKS * 50 + COUNTS + END, "text/event-stream", 1, stream=True)
    recorder.settle()
    assert (recorder.only["is_aborted"], recorder.only["prompt_tokens"] > 0) == (True, True)


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call is not with_aiohttp_lines]
)  # which leaves its answer open
def test_what_is_not_in_its_encoding_is_the_clients_error(call, recorder, monkeypatch):
    """The app gets it from its client, and the record says that the answer could not be read."""

    def answer(handler: Handler, _body: bytes) -> None:
        handler.whole(b"this is no gzip at all", content_type="application/json", content_encoding="gzip")

    with serving(answer) as server:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{server.host}=openai")
        recorder.install()
        with pytest.raises(Exception, match=r"(?i)decod|gzip|incorrect header|can not") as raised:
            call(f"http://{server.host}/v1/chat/completions", ASK, None)
    assert not type(raised.value).__module__.startswith("spectra")
    recorder.settle()
    assert recorder.only.get("prompt_tokens") is None or recorder.only["is_aborted"]
