"""Signals to `spectra collect`: SIGHUP reads its configuration again, SIGTERM says so to probes and drains."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
import yaml
from aiohttp import web

from tests.service.running import CHAT, PROTOBUF, request, running, tree
from tests.service.test_bad_input import process
from tests.service.test_collector import until


def status(port: int, body: bytes = b"", path: str = "/v1/traces") -> int:
    """What a request is answered; 0 for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body or None, PROTOBUF)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def names(path: Path) -> list[str]:
    """The names of the traces in a file of OTLP JSON, by their seeds."""
    if not path.exists():
        return []
    documents = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    groups = [scope for document in documents for group in document["resourceSpans"] for scope in group["scopeSpans"]]
    return [span["traceId"][26:30] for scope in groups for span in scope["spans"]]


def test_sighup_reads_the_configuration_again(tmp_path: Path) -> None:
    """A bad one is left aside; a good one takes the place of the former, and nothing that was accepted is lost."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    runner = process(tmp_path, file={"path": str(first)})
    log = tmp_path / "log"
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["service"]["telemetry"]["logs"] = {"output_paths": [str(log)]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with runner as (port, child):
        assert status(port, request(CHAT, seed=1).SerializeToString()) == 200
        good = (tmp_path / "config.yaml").read_text()
        (tmp_path / "config.yaml").write_text("receivers: [")
        child.send_signal(signal.SIGHUP)
        assert status(port, request(CHAT, seed=2).SerializeToString()) == 200
        (tmp_path / "config.yaml").write_text(good.replace("first.jsonl", "no/first.jsonl"))  # found out at its start
        child.send_signal(signal.SIGHUP)
        until(lambda: "going on with the former one: exporters::file: path: cannot write" in log.read_text())
        until(lambda: status(port, request(CHAT, seed=4).SerializeToString()) == 200)
        (tmp_path / "config.yaml").write_text(good.replace("first.jsonl", "second.jsonl"))
        child.send_signal(signal.SIGHUP)

        def arrives() -> list[str]:
            status(port, request(CHAT, seed=3).SerializeToString())
            return names(second)

        until(arrives)
        assert child.poll() is None
    assert child.returncode == 0
    assert names(first)[:3] == ["0001", "0002", "0004"]
    assert set(names(second)) == {"0003"}


def test_a_connection_that_comes_as_it_stops_does_not_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes idle connections when it begins to stop; one that was accepted just then is closed, too."""
    first: list[web.Server] = []
    close_idle = web.Server.pre_shutdown

    def too_early(server: web.Server) -> None:
        if first:
            close_idle(server)
        first.append(server)

    monkeypatch.setattr(web.Server, "pre_shutdown", too_early)
    with ExitStack() as until_after:
        with running(tree({"debug": None})) as collector:
            idle = socket.create_connection(("127.0.0.1", collector.port("http")))
            until_after.enter_context(idle)
            assert status(collector.port("http"), request(CHAT).SerializeToString()) == 200
            began = time.monotonic()
        assert time.monotonic() - began < 8  # the server would wait for ten
    assert len(first) > 1


def test_probes_hear_that_it_drains(tmp_path: Path) -> None:
    """503 from the moment of SIGTERM, while what was accepted is sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        probe = int(free.getsockname()[1])
        free.close()
        runner = process(tmp_path, otlp_http={"endpoint": endpoint, "timeout": "3s"})
        config = yaml.safe_load((tmp_path / "config.yaml").read_text())
        config["extensions"] = {"health_check": {"endpoint": f"127.0.0.1:{probe}"}}
        config["service"]["extensions"] = ["health_check"]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        with runner as (port, child):
            until(lambda: status(probe, path="/") == 200)
            assert status(port, request(CHAT).SerializeToString()) == 200
            child.send_signal(signal.SIGTERM)
            until(lambda: status(probe, path="/") == 503)
            child.wait(60)
    assert child.returncode == 0
    assert len(list(tmp_path.rglob("*.traces"))) == 1
