"""How a call can travel: by HTTP/2, a proxy, a redirect, a client or transport of the app's own, again after a failure."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import botocore.config
import botocore.httpsession
import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from spectra_otel import instrumentors
from tests.instrumentors.servers import Handler, forward, serving, serving_http2, tls_context

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
GOOD = {"id": "c1", "model": "gpt-4o-2024-08-06", "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": USAGE}  # fmt: skip
BODY = json.dumps(GOOD).encode()
EVENTS = [
    b'data: {"id": "c1", "choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n',
    b'data: {"id": "c1", "choices": [], "usage": %s}\n\n' % json.dumps(USAGE).encode(),
    b"data: [DONE]\n\n",
]
PATH = "/v1/chat/completions"


def good(handler: Handler, _body: bytes) -> None:
    handler.whole(BODY, content_type="application/json")


@pytest.fixture
def known(recorder, monkeypatch) -> Callable[[str], str]:
    """Say that a host speaks as OpenAI does; gives the address of chat completions there."""

    def known(host: str) -> str:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{host}=openai")
        recorder.install()
        return f"http://{host}{PATH}"

    return known


def by_requests(url: str, **options: Any) -> bytes:
    with requests.Session() as session:
        return session.post(url, json=ASK, timeout=10, **options).content


def by_aiohttp(url: str, session_options: dict[str, Any] | None = None, **options: Any) -> bytes:
    async def call() -> bytes:
        async with (
            aiohttp.ClientSession(**(session_options or {})) as session,
            session.post(url, json=ASK, **options) as response,
        ):
            return await response.read()

    return asyncio.run(call())


def by_httpx(module: Any, url: str, **options: Any) -> bytes:
    with module.Client(**options) as client:
        return client.post(url, json=ASK).content  # type: ignore[no-any-return]


def by_async_httpx(module: Any, url: str, **options: Any) -> bytes:
    async def call() -> bytes:
        async with module.AsyncClient(**options) as client:
            return (await client.post(url, json=ASK)).content  # type: ignore[no-any-return]

    return asyncio.run(call())


# -- HTTP/2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [by_httpx, by_async_httpx])
@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_call_over_http2_is_recorded(module, by, known, recorder):
    """Over a real connection that speaks nothing else."""
    with serving_http2([BODY[:40], BODY[40:]], "application/json") as host:
        assert by(module, known(host), http1=False, http2=True) == BODY
    assert (recorder.only["prompt_tokens"], recorder.only["is_failed"]) == (12, False)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_stream_over_http2_is_recorded_and_its_hidden_chunk_taken_out(module, known, recorder):
    """As over HTTP/1."""
    with (
        serving_http2(EVENTS, "text/event-stream") as host,
        module.Client(http1=False, http2=True) as client,
        client.stream("POST", known(host), json={**ASK, "stream": True}) as response,
    ):
        assert response.http_version == "HTTP/2"
        assert b"".join(response.iter_bytes()) == EVENTS[0] + EVENTS[2]
    assert (recorder.only["prompt_tokens"], recorder.only.get("is_aborted")) == (12, None)


def test_calls_that_share_a_connection_are_each_a_record(known, recorder):
    """Twenty streams of one HTTP/2 connection at once."""

    async def run(url: str) -> None:
        async with httpx2.AsyncClient(http1=False, http2=True) as client, asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(client.post(url, json=ASK))

    with serving_http2([BODY], "application/json") as host:
        asyncio.run(run(known(host)))
    assert [record["prompt_tokens"] for record in recorder.records] == [12] * 20


# -- proxies -----------------------------------------------------------------------------------------------------------

PROXIED: dict[str, Callable[[str, str], bytes]] = {
    "httpx": lambda url, proxy: by_httpx(httpx, url, proxy=proxy),
    "httpx2": lambda url, proxy: by_httpx(httpx2, url, proxy=proxy),
    "async httpx": lambda url, proxy: by_async_httpx(httpx, url, proxy=proxy),
    "requests": lambda url, proxy: by_requests(url, proxies={"http": proxy}),
    "aiohttp": lambda url, proxy: by_aiohttp(url, proxy=proxy),
}


@pytest.mark.parametrize("client", PROXIED)
def test_a_call_through_a_proxy_is_the_providers(client, known, recorder):
    """The record is of the host that was asked for, once; the proxy is nobody."""
    with serving(good) as server, serving(forward) as proxy:
        assert PROXIED[client](known(server.host), f"http://{proxy.host}") == BODY
        assert proxy.requests == [f"http://{server.host}{PATH}"]
    assert (recorder.only["prompt_tokens"], recorder.only["endpoint"]) == (12, PATH)
    assert recorder.only["_span"].attributes["server.port"] == server.server_port


TUNNELLED: dict[str, Callable[[str, str, Path], bytes]] = {
    "httpx": lambda url, proxy, trusted: by_httpx(httpx, url, proxy=proxy, verify=trusting(trusted)),
    "httpx2": lambda url, proxy, trusted: by_httpx(httpx2, url, proxy=proxy, verify=trusting(trusted)),
    "requests": lambda url, proxy, trusted: by_requests(url, proxies={"https": proxy}, verify=str(trusted)),
    "aiohttp": lambda url, proxy, trusted: by_aiohttp(url, proxy=proxy, ssl=trusting(trusted)),
}


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.mark.parametrize("client", TUNNELLED)
def test_a_call_by_tls_through_a_tunnel_is_the_providers(client, known, recorder, tmp_path):
    """The proxy sees bytes alone; we see the call."""
    tls, trusted = tls_context(tmp_path)
    with serving(good, tls) as server, serving(forward) as proxy:
        url = known(server.host).replace("http://", "https://")
        assert TUNNELLED[client](url, f"http://{proxy.host}", trusted) == BODY
        assert proxy.requests == [server.host]
    assert recorder.only["prompt_tokens"] == 12


def test_a_proxy_named_by_the_environment_changes_nothing(known, recorder, monkeypatch):
    """requests and httpx find it there."""
    with serving(good) as server, serving(forward) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
        monkeypatch.setenv("no_proxy", "")
        url = known(server.host)
        assert by_requests(url) == by_httpx(httpx, url) == BODY
        assert len(proxy.requests) == 2
    assert [record["prompt_tokens"] for record in recorder.records] == [12, 12]


# -- redirects ---------------------------------------------------------------------------------------------------------

REDIRECTED: dict[str, Callable[[str], bytes]] = {
    "httpx": lambda url: by_httpx(httpx, url, follow_redirects=True),
    "httpx2": lambda url: by_httpx(httpx2, url, follow_redirects=True),
    "async httpx": lambda url: by_async_httpx(httpx, url, follow_redirects=True),
    "requests": by_requests,
    "aiohttp": by_aiohttp,
}


@pytest.mark.parametrize("client", REDIRECTED)
def test_a_redirect_is_part_of_the_call_that_led_to_it(client, known, recorder):
    """One record, of the answer at the end, whichever client follows."""

    def answer(handler: Handler, body: bytes) -> None:
        if handler.path.startswith("/moved"):
            good(handler, body)
        else:
            handler.whole(b"", 307, location=f"/moved{PATH}")

    with serving(answer) as server:
        assert REDIRECTED[client](known(server.host)) == BODY
        assert server.requests == [PATH, f"/moved{PATH}"]
    assert (recorder.only["prompt_tokens"], recorder.only["status_code"]) == (12, 200)


def test_a_redirect_that_is_not_followed_is_an_answer_without_usage(known, recorder):
    """The app sees it as it came."""
    with serving(lambda handler, _: handler.whole(b"", 307, location="/elsewhere")) as server:
        assert by_httpx(httpx, known(server.host)) == b""
    assert (recorder.only["status_code"], recorder.only.get("prompt_tokens")) == (307, None)


# -- clients and transports of the app's own ---------------------------------------------------------------------------


class Signed(httpx.Client):
    """Adds to what it sends, and looks at what comes."""

    seen = 0

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        request.headers["x-signed"] = "yes"
        response = super().send(request, **options)
        type(self).seen += response.status_code
        return response


class Audited(requests.Session):
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = super().send(request, **options)
        response.headers["x-audited"] = "yes"
        return response


class Fixed(HTTPAdapter):
    """Answers by itself."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response._content, response.request = 200, BODY, request
        response.headers["content-type"] = "application/json"
        response.url = request.url or ""
        return response


class Echo(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=BODY, headers={"content-type": "application/json"})


async def logged(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
    request.headers["x-logged"] = "yes"
    response = await handler(request)
    await response.read()
    return response  # type: ignore[no-any-return]


def test_a_client_of_the_apps_own_is_one_record(known, recorder):
    """A subclass that overrides ``send`` calls ours beneath it, once."""
    with serving(good) as server:
        url = known(server.host)
        with Signed() as client:
            assert client.post(url, json=ASK).content == BODY
        with Audited() as session:
            assert session.post(url, json=ASK, timeout=10).headers["x-audited"] == "yes"
    assert Signed.seen == 200
    assert [record["prompt_tokens"] for record in recorder.records] == [12, 12]


def test_a_transport_of_the_apps_own_is_observed(known, recorder):
    """Whatever is beneath ``send``: an adapter that answers by itself, a transport, a middleware that has read the body."""
    with serving(good) as server:
        url = known(server.host)
        with requests.Session() as session:
            session.mount("http://", Fixed())
            assert session.post(url, json=ASK, timeout=10).json() == GOOD
        assert by_async_httpx(httpx, url, transport=Echo()) == BODY
        assert by_aiohttp(url, {"middlewares": (logged,)}) == BODY
    assert [record["prompt_tokens"] for record in recorder.records] == [12] * 3


def test_an_event_hook_that_reads_the_answer_first_changes_nothing(known, recorder):
    """httpx calls it before ``send`` returns."""

    def read(response: httpx.Response) -> None:
        assert response.read() == BODY

    with serving(good) as server:
        assert by_httpx(httpx, known(server.host), event_hooks={"response": [read]}) == BODY
    assert recorder.only["prompt_tokens"] == 12


# -- retries -----------------------------------------------------------------------------------------------------------


class Failing:
    """Refuses the first two requests."""

    def __init__(self, status: int) -> None:
        self.status, self.left = status, 2

    def __call__(self, handler: Handler, body: bytes) -> None:
        if self.left:
            self.left -= 1
            handler.whole(b'{"error": {"message": "busy"}}', self.status, content_type="application/json")
        else:
            good(handler, body)


def persistent(call: Callable[[], tuple[int, bytes]]) -> bytes:
    """What retrying libraries do around a client."""
    for _ in range(2):
        status, body = call()
        if status == 200:
            break
    status, body = call()
    return body


def retry_httpx(url: str) -> bytes:
    with httpx.Client() as client:

        def once() -> tuple[int, bytes]:
            response = client.post(url, json=ASK)
            return response.status_code, response.content

        return persistent(once)


def retry_requests(url: str) -> bytes:
    with requests.Session() as session:

        def once() -> tuple[int, bytes]:
            response = session.post(url, json=ASK, timeout=10)
            return response.status_code, response.content

        return persistent(once)


def retry_aiohttp(url: str) -> bytes:
    async def run() -> bytes:
        body = b""
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(url, json=ASK) as response:
                    body = await response.read()
            return body

    return asyncio.run(run())


@pytest.mark.parametrize("call", [retry_httpx, retry_requests, retry_aiohttp])
@pytest.mark.parametrize(("status", "billed"), [(429, "not_billed"), (500, "billed_unknown")])
def test_each_attempt_is_a_record_of_its_own(call, status, billed, known, recorder):
    """The failed ones say whether they may have been billed."""
    with serving(Failing(status)) as server:
        assert call(known(server.host)) == BODY
    first, second, last = recorder.records
    assert [record["cost_status"] for record in (first, second)] == [billed, billed]
    assert (last["prompt_tokens"], last.get("cost_status")) == (12, None)


def test_retries_beneath_the_client_are_one_call(known, recorder):
    """urllib3's own, mounted in requests, are hidden from everybody above: one record, of what the app got."""
    with serving(Failing(503)) as server, requests.Session() as session:
        retry = Retry(total=3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        assert session.post(known(server.host), json=ASK, timeout=10).content == BODY
        assert len(server.requests) == 3
    assert recorder.only["prompt_tokens"] == 12


CONVERSED = json.dumps({
    "output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn",
    "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
}).encode()  # fmt: skip


def bedrock(host: str, **config: Any) -> Any:
    return boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=f"http://{host}", aws_access_key_id="AKIAX",
        aws_secret_access_key="secret", config=botocore.config.Config(**config),
    )  # fmt: skip


@pytest.fixture
def aws(recorder, monkeypatch) -> Callable[[str], None]:
    def aws(host: str) -> None:
        monkeypatch.setenv("SPECTRA_PROVIDER_HOSTS", f"{host}=bedrock")
        recorder.install()

    return aws


def test_each_attempt_of_botocore_is_a_record_of_its_own(aws, recorder, monkeypatch):
    """Its retries are above what we see."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    refused = Failing(503)

    def answer(handler: Handler, body: bytes) -> None:
        if refused.left:
            refused(handler, body)
        else:
            handler.whole(CONVERSED, content_type="application/json")

    with serving(answer) as server:
        aws(server.host)
        client = bedrock(server.host, retries={"total_max_attempts": 3, "mode": "standard"})
        client.converse(modelId="m", messages=[])
        client.close()
    assert [record["status_code"] for record in recorder.records] == [503, 503, 200]
    assert recorder.records[-1]["prompt_tokens"] == 12


def test_botocore_through_a_proxy(aws, recorder):
    """Its own setting of proxies."""
    with serving(lambda handler, _: handler.whole(CONVERSED, content_type="application/json")) as server:
        aws(server.host)
        with serving(forward) as proxy:
            client = bedrock(server.host, proxies={"http": f"http://{proxy.host}"})
            assert client.converse(modelId="m", messages=[])["usage"]["inputTokens"] == 12
            client.close()
            assert len(proxy.requests) == 1
    assert recorder.only["prompt_tokens"] == 12


def test_a_session_of_the_apps_own_beneath_botocore(aws, recorder):
    """A subclass of its HTTP session, as instrumentation and tests make them."""

    class Session(botocore.httpsession.URLLib3Session):  # type: ignore[misc]
        def send(self, request: Any) -> Any:
            return super().send(request)

    with serving(lambda handler, _: handler.whole(CONVERSED, content_type="application/json")) as server:
        aws(server.host)
        client = bedrock(server.host)
        client._endpoint.http_session = Session()
        client.converse(modelId="m", messages=[])
        client.close()
    assert recorder.only["prompt_tokens"] == 12


def test_nothing_stays_patched(recorder):
    """When the instrumentors leave, clients are what they were."""
    instrumentors.uninstall()
    assert "spectra" not in httpx.Client.send.__module__ + requests.Session.send.__module__
    recorder.install()
