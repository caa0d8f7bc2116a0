"""Calls that fail before anything of them was sent, through every client: they are not billed; later failures may be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.config
import pytest

from tests.instrumentors.test_clients import ASK, CALLS, Call, with_httpx, with_httpx2, with_requests

PATH = "/v1/chat/completions"


def status_of(recorder: Any, call: Call, url: str) -> Any:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # each client has its own
        call(url, ASK, None)
    assert not type(raised.value).__module__.startswith("spectra")
    return recorder.only["cost_status"]


@pytest.mark.parametrize("call", CALLS)
def test_a_name_without_an_address_is_not_billed(call, recorder, monkeypatch):
    """The resolver knows no such host."""

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert status_of(recorder, call, f"https://api.openai.com{PATH}") == "not_billed"


@pytest.mark.parametrize("call", CALLS)
def test_a_handshake_that_fails_is_not_billed(call, provider, recorder):
    """A server that speaks no TLS."""
    url = provider.url("openai").replace("http:", "https:")
    assert status_of(recorder, call, url + PATH) == "not_billed"


@pytest.mark.parametrize("call", [with_httpx, with_httpx2, with_requests])
def test_a_proxy_that_is_not_there_is_not_billed(call, recorder, monkeypatch):
    """The client never got as far as the provider."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert status_of(recorder, call, f"https://api.openai.com{PATH}") == "not_billed"


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """The port of a server that reads requests and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    with server.accept()[0] as connection:
                        read = b""
                        while b"Portugal" not in read and (piece := connection.recv(65536)):
                            read += piece
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_hangs_up_may_have_billed(call, hanging_up, recorder, monkeypatch):
    """The request was there; nobody knows what became of it."""
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"127.0.0.1:{hanging_up}=openai")
    recorder.install()
    assert status_of(recorder, call, f"http://127.0.0.1:{hanging_up}{PATH}") == "billed_unknown"


@pytest.mark.parametrize(("scheme", "port"), [("http", 9), ("https", None)])
def test_botocore_tells_it_too(scheme, port, provider, recorder, monkeypatch):
    """A refused connection, and a server without TLS."""
    port = port or int(provider.url("openai").rpartition(":")[2].partition("/")[0])
    monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"127.0.0.1:{port}=bedrock")
    recorder.install()
    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=f"{scheme}://127.0.0.1:{port}",
        aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    with pytest.raises(Exception):  # noqa: B017, PT011
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "x"}]}])
    assert recorder.only["cost_status"] == "not_billed"
