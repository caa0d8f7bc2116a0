"""Pipelines that would feed themselves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.errors import ConfigError
from tests.service.running import FREE, running, tree


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("listens", "sends"),
    [
        ("localhost:{port}", "http://localhost:{port}"),
        ("0.0.0.0:{port}", "http://127.0.0.1:{port}/"),
        ("[::1]:{port}", "http://LOCALHOST:{port}"),
    ],
)
def test_a_pipeline_that_feeds_itself_is_refused(listens: str, sends: str) -> None:
    """Its spans would go round for ever; a receiver of another collector, or of a later pipeline, is none of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    protocols = {"http": {"endpoint": listens.format(port=port)}}
    exporter = {"otlp_http": {"endpoint": sends.format(port=port)}}
    message = f'{port}.*, where receiver "otlp" of this collector listens: what it sends would go round for ever'
    with pytest.raises(ConfigError, match=message), running(tree(exporter, protocols=protocols)):
        pass
    with running(tree({"otlp_http": {"endpoint": f"http://localhost:{port}"}}, protocols={"http": {"endpoint": FREE}})):
        pass


def test_pipelines_that_feed_each_other_are_refused() -> None:
    """A chain of pipelines is none; the last may not come back to the first."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = (f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two))
    receivers = {
        f"otlp/{name}": {"protocols": {"http": {"endpoint": where}}} for name, where in ((1, first), (2, second))
    }
    config = tree({"otlp_http/1": {"endpoint": f"http://{second}"}, "otlp_http/2": {"endpoint": f"http://{first}"}})
    config["receivers"] = receivers
    ends: dict[str, Any] = {"receivers": ["otlp/2"], "exporters": ["debug"]}
    config["exporters"]["debug"] = None
    config["service"]["pipelines"] = {
        "traces/1": {"receivers": ["otlp/1"], "exporters": ["otlp_http/1"]},
        "traces/2": ends,
    }
    with running(config):
        pass
    ends["exporters"] = ["otlp_http/2"]
    with pytest.raises(ConfigError, match="go round for ever"), running(config):
        pass
