"""Whatever is sent, the answer is the one of the specification, memory stays bounded, and the next sender is served."""

from __future__ import annotations

import gzip
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
import yaml
import zstandard
from google.rpc.status_pb2 import Status

from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.otlp.json_wire import protobuf_of
from spectra_otel.otlp.protobuf import BadRequestError, Claims, TraceRequest
from spectra_otel.otlp.signals import SIGNALS, TRACES
from spectra_otel.processors.cost.processor import CostProcessor
from spectra_otel.processors.usage.processor import UsageProcessor
from spectra_otel.service.delivery import Room, payload_of
from spectra_otel.service.telemetry import resident_bytes
from tests.service.running import CHAT, FREE, Running, request, running, tree
from tests.service.test_collector import until

JSON = {"Content-Type": "application/json"}
GOOD = request(CHAT).SerializeToString()
FUZZ_SECONDS = float(os.environ.get("SPECTRA_FUZZ_SECONDS", "3"))
"""`.ci/run` fuzzes for a minute."""
KILLS = int(os.environ.get("SPECTRA_KILLS", "200"))
"""A thousand take half an hour: `SPECTRA_KILLS=1000 pytest -m backend -k kill_9 -s tests/service`."""
LONG = [pytest.mark.backend, pytest.mark.slow, pytest.mark.timeout(10 * KILLS)]


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A collector with both protocols; at the end it must still serve."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))
    protocols = {"http": {"endpoint": FREE}, "grpc": {"endpoint": FREE}}
    exporters = {"duckdb": {"path": str(tmp_path / "x.duckdb"), "merge": "off"}}
    with running(tree(exporters, {"usage": None, "cost": None}, protocols=protocols)) as found:
        yield found
        assert found.post(GOOD).status == 200
        assert found.call(GOOD) == b""


def nested(depth: int) -> bytes:
    """A JSON request whose attribute is a list in a list in a list…"""
    value = '{"arrayValue":{"values":[' * depth + '{"intValue":"1"}' + "]}}" * depth
    span = '{"traceId":"' + "1" * 32 + '","spanId":"' + "2" * 16 + '","attributes":[{"key":"a","value":' + value + "}]}"
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[' + span + "]}]}]}").encode()


def with_id(**ids: bytes) -> bytes:
    """A request with ids of these bytes."""
    message = request(CHAT)
    for name, value in ids.items():
        setattr(message.resource_spans[0].scope_spans[0].spans[0], name, value)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\x07\x00\xff" * 50, {}, 400),
        (GOOD[:-7], {}, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"resourceSpans": 1}', JSON, 400),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}', JSON, 400),
        (nested(400), JSON, 400),
        (nested(5_000), JSON, 400),
        (nested(400).replace(b'"key"', b'"own_name":' + b'[' * 900 + b']' * 900 + b',"key"'), JSON, 400),
        (with_id(trace_id=b"short"), {}, 400),
        (with_id(span_id=b"far too long"), {}, 400),
        (with_id(trace_id=b"", span_id=b""), {}, 200),
        (with_id(trace_id=bytes(16), span_id=bytes(8)), {}, 200),
        (b"", {}, 200),
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (GOOD, {"Content-Type": "application/grpc"}, 415),
        (GOOD, {"Content-Encoding": "br"}, 400),
        (GOOD, {"Content-Encoding": "gzip"}, 400),
        (GOOD, {"Content-Encoding": "zstd"}, 400),
        (gzip.compress(GOOD)[:-10], {"Content-Encoding": "gzip"}, 400),
        (b"", {"Content-Encoding": "gzip"}, 400),
        (b"", {"Content-Encoding": "deflate"}, 400),
        (gzip.compress(GOOD) + gzip.compress(GOOD), {"Content-Encoding": "gzip"}, 200),
        (gzip.compress(bytes(50 << 20)), {"Content-Encoding": "gzip"}, 413),
        (zlib.compress(bytes(50 << 20)), {"Content-Encoding": "deflate"}, 413),
        (zstandard.ZstdCompressor().compress(bytes(50 << 20)), {"Content-Encoding": "zstd"}, 413),
        (request({**CHAT, **{f"a{n}": n for n in range(10_000)}}).SerializeToString(), {}, 200),
    ],
)  # fmt: skip
def test_bad_bodies_are_answered_as_the_specification_has_it(
    collector: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    """400 with an rpc.Status in the content type of the request, 413, 415; an empty request is fine."""
    answer = collector.post(body, headers)
    assert answer.status == status
    if status == 400 and "Content-Type" not in headers:
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert Status.FromString(answer.body).code == 3
    if status == 400 and headers == JSON:
        assert orjson.loads(answer.body)["code"] == 3
    if status >= 400:
        assert "retry-after" not in answer.headers


def test_another_method_is_not_allowed(collector: Running) -> None:
    """405."""
    assert collector.post(GOOD, method="PUT").status == 405
    assert collector.post(b"", path="/v1/nothing").status == 404


def test_grpc_has_the_same_answers(collector: Running) -> None:
    """INVALID_ARGUMENT for what is no request, RESOURCE_EXHAUSTED for what is too large, UNIMPLEMENTED for another method."""
    for body, method, code in (
        (b"\x07\x00\xff", TRACES.method, grpc.StatusCode.INVALID_ARGUMENT),
        (with_id(trace_id=b"short"), TRACES.method, grpc.StatusCode.INVALID_ARGUMENT),
        (bytes(5 << 20), TRACES.method, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (GOOD, "/no.such/Method", grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            collector.call(body, method=method)
        error: Any = caught.value
        assert error.code() is code


def test_a_hundred_megabytes_are_refused_before_they_are_read(collector: Running) -> None:
    """413, whether the length is announced or not, and memory does not grow with them."""
    before = resident_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", collector.port("http"), timeout=60)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()

    connection = http.client.HTTPConnection("127.0.0.1", collector.port("http"), timeout=60)
    chunks = (bytes(1 << 20) for _ in range(100))
    try:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/traces", chunks, headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it hung up while we were still sending
    connection.close()
    assert resident_bytes() - before < 80 << 20


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/traces HTTP/1.1\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"secret" * 9_000 + b"\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"secret\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_no_http_is_answered_and_not_logged(
    collector: Running, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400, and nothing of what strangers send stands in the logs."""
    with socket.create_connection(("127.0.0.1", collector.port("http")), timeout=60) as client:
        client.sendall(sent)
        assert client.recv(4096).split(b" ", 2)[1] == b"400"
    with socket.create_connection(("127.0.0.1", collector.port("http")), timeout=60) as client:
        client.sendall(sent[:40])  # gone before the end of what it says
    assert collector.post(GOOD).status == 200
    assert caplog.messages == []


def test_a_client_that_goes_away_within_its_body_is_no_news(
    collector: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had reserved is free again."""
    room = collector.collector.room
    with socket.create_connection(("127.0.0.1", collector.port("http")), timeout=60) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 99\r\n\r\n\x00"
        )
        until(lambda: room._used == 99)
    until(lambda: not room._used)
    assert collector.post(GOOD).status == 200
    assert caplog.messages == []


def test_slow_clients_do_not_keep_others_waiting(collector: Running) -> None:
    """Two hundred that never end their request, and one that does."""
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", collector.port("http"))))
            client.sendall(
                b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 999\r\n\r\n\x00"
            )
        began = time.monotonic()
        assert collector.post(GOOD).status == 200
        assert time.monotonic() - began < 15


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs many sockets")
def test_thousands_of_connections_are_held(tmp_path: Path) -> None:
    """5,000 clients are connected and the next is served; memory grows by kilobytes for each."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with process(tmp_path) as (port, child), ExitStack() as stack:
            before = rss(child)
            for _ in range(5_000):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/v1/traces", GOOD, {"Content-Type": "application/x-protobuf"})
            assert connection.getresponse().status == 200
            connection.close()
            assert rss(child) - before < 100 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_under_way_is_bounded() -> None:
    """Beyond the limit there is no room, except for a single request."""
    room = Room(100)
    assert room.take(60)
    assert not room.take(60)
    room.give_back(60)
    assert room.take(1_000)


def test_fuzz(tmp_path: Path) -> None:
    """Damaged protobuf and JSON of every signal is either taken or refused in words; nothing else ever comes out."""
    chance = random.Random(20261121)
    seeds = [
        GOOD,
        request(CHAT, {"a": 1}, {"gen_ai.usage.input_tokens": -5, "gen_ai.request.model": ""}).SerializeToString(),
    ]
    texts = [
        nested(3),
        orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "1" * 32, "spanId": "2" * 16}]}]}]}),
    ]
    claims, usage, cost = Claims(), UsageProcessor(), CostProcessor()
    deadline = time.monotonic() + FUZZ_SECONDS
    taken = refused = 0
    while time.monotonic() < deadline:
        is_json = chance.random() < 0.3
        body = mutated(chance, chance.choice(texts if is_json else seeds))
        for name in SIGNALS:
            try:
                payload = payload_of(SIGNALS[name], protobuf_of(SIGNALS[name], body) if is_json else body)
            except BadRequestError:
                refused += 1
                continue
            taken += 1
            if SIGNALS[name] is TRACES:
                made = TraceRequest(payload.body, payload.items)
                spans = cost.process(usage.process(made.spans(claims, every=chance.random() < 0.5)))
                made.render(spans)
    assert taken > 10
    assert refused > 10


def mutated(chance: random.Random, body: bytes) -> bytes:
    """``body`` with a few bytes changed, cut, doubled or put in."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + chance.randint(1, 20)]
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 12))
            case _:
                data[at:at] = data[chance.randrange(len(data) + 1) :][:40]
        if not data:
            data = bytearray(b"\n")
    return bytes(data)


class process:
    """`spectra collect` in a process of its own, storing into ``folder``; gives its port and the process."""

    def __init__(self, folder: Path, **exporters: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])
        self._folder = folder
        config = tree(
            exporters or {"duckdb": {"path": str(folder / "x.duckdb")}},
            {"usage": None, "cost": None},
            protocols={"http": {"endpoint": f"127.0.0.1:{self.port}"}},
        )
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> tuple[int, subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "spectra_otel.cli", "collect", "--config", str(self._config)]
        environ = {**os.environ, "SPECTRA_HOME": str(self._folder / "home")}
        self.child = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self.port, self.child
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def __exit__(self, *error: object) -> None:
        assert self.child is not None
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        self.child.wait(60)


def rss(child: subprocess.Popen[bytes]) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def send_until_killed(port: int, child: subprocess.Popen[bytes], first: int, chance: random.Random) -> set[int]:
    """Send batches numbered from ``first``, kill the process at a random moment after one, and say which were acknowledged."""
    acknowledged = set()
    # One in eight lives until it merges, beside what it takes in.
    kill_at = time.monotonic() + (chance.uniform(2.0, 3.5) if chance.random() < 0.125 else chance.uniform(0.05, 0.6))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for number in range(first, first + 10_000):
            if acknowledged and time.monotonic() > kill_at and child.poll() is None:
                child.kill()
            body = request(*[CHAT] * 20, seed=number).SerializeToString()
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                acknowledged.add(number)
    except (OSError, http.client.HTTPException):
        pass
    connection.close()
    child.wait(60)
    return acknowledged


@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=LONG)])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, kills: int) -> None:
    """Killed at random moments under load: every acknowledged span is in the store, once."""
    chance = random.Random(kills)
    acknowledged: set[int] = set()
    for life in range(1, kills + 1):
        with process(tmp_path) as (port, child):
            acknowledged |= send_until_killed(port, child, life * 10_000, chance)
    sql = "SELECT left(trace_id, 30), count(*), count(DISTINCT id) FROM spectra_requests GROUP BY 1"
    stored = {int(trace, 16): (rows, ids) for trace, rows, ids in DuckDBStore(tmp_path / "x.duckdb").query(sql)[1]}
    assert acknowledged
    assert {number for number in acknowledged if stored.get(number) != (20, 20)} == set()
    # A batch that was on disk when its answer was cut off is there too, whole: at most one for each kill.
    assert set(stored.values()) == {(20, 20)}
    assert len(stored) <= len(acknowledged) + kills
    print(f"{kills} kills: {len(acknowledged) * 20} spans acknowledged, {len(stored) * 20} stored, each once")


def test_sigterm_drains(tmp_path: Path) -> None:
    """What was accepted is finished, and the exit status is 0."""
    with process(tmp_path) as (port, child):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/traces", GOOD, {"Content-Type": "application/x-protobuf"})
        assert connection.getresponse().status == 200
        connection.close()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert DuckDBStore(tmp_path / "x.duckdb").costs()[0]["requests"] == 1
