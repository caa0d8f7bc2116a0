"""The configurations that documentation and deployment files show are valid, and do what they say."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from spectra_otel.config.document import read_document
from spectra_otel.config.load import validate
from spectra_otel.config.resolve import expand
from tests.service.running import CHAT, request, running, tree
from tests.service.test_collector import until
from tests.serving import Handler, serving

ROOT = Path(__file__).parents[2]
DESTINATION = re.compile(r"<!-- destination: path=(\S+?)(?: headers=(\S+?))? -->\n```yaml\n(.*?)```", re.DOTALL)
DESTINATIONS: list[Any] = DESTINATION.findall((ROOT / "docs" / "destinations.md").read_text())


@contextmanager
def strict_server(path: str, headers: list[str]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes a POST to ``path`` with these headers, and refuses everything else."""
    got: list[bytes] = []

    class Strict(Handler):
        def do_POST(self) -> None:
            body = self.body()
            is_good = self.path == path and all(self.headers.get(name) for name in headers)
            if is_good:
                got.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.reply(200 if is_good else 403)

    with serving(Strict) as port:
        yield f"http://127.0.0.1:{port}", got


@pytest.mark.parametrize(("path", "headers", "text"), DESTINATIONS)
def test_each_destination_is_reached_as_the_page_says(
    path: str, headers: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its path and its headers; only the host is replaced by a local one."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    names = [name for name in headers.split(",") if name]
    with strict_server(path, names) as (url, got):
        exporters = yaml.safe_load(text)["exporters"]
        local = {
            name: {
                **settings,
                **{k: url + _path(settings[k]) for k in ("endpoint", "traces_endpoint") if k in settings},
            }
            for name, settings in exporters.items()
        }
        with running(tree(local, {"usage": None, "cost": None})) as collector:
            assert collector.post(request(CHAT).SerializeToString()).status == 200
            until(lambda: got)
    assert b"gen_ai.usage.cost.amount" in got[0]


def _path(text: str) -> str:
    """The path of an address, which may be the default of a variable."""
    return urlsplit(text.rpartition(":-")[2].rstrip("}")).path


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_ready_configurations_are_valid(path: Path) -> None:
    """Those that are ours; the others are run with the programs they are for in CI."""
    if path.stem.endswith(("spectra", "app")):
        assert validate([str(path)]) == []
    elif path.stem.endswith("otelcol"):
        assert set(yaml.safe_load(path.read_text())) >= {"receivers", "exporters", "service"}
    else:
        assert set(yaml.safe_load(path.read_text())) == {"scrape_configs"}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("hop-otelcol", "hop-spectra"), ("xray-otelcol", "plugins-spectra"), ("google-otelcol", "plugins-spectra")],
)
def test_neighbours_want_different_ports(theirs: str, ours: str) -> None:
    """On one machine, as printed: those of receivers, and those of the metrics that both serve of themselves."""
    wanted = [port for name in (theirs, ours) for port in _ports(ROOT / "docs" / "configs" / f"{name}.yaml")]
    assert len(wanted) == len(set(wanted))


def _ports(path: Path) -> list[str]:
    """Where a configuration listens if no variable says otherwise."""
    tree = yaml.safe_load(path.read_text())
    protocols = [protocol for receiver in tree["receivers"].values() for protocol in receiver["protocols"].values()]
    metrics = tree["service"].get("telemetry", {}).get("metrics", {}).get("address", "localhost:8888")
    return [text.rpartition(":")[2].rstrip("}") for text in (*(item["endpoint"] for item in protocols), metrics)]


def test_the_first_call_of_the_page_is_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed: what is sent, what is answered, and the row that comes of it."""
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    page = (ROOT / "docs" / "collector.md").read_text()
    body, answer, row = re.findall(r"-d '(.*?)'\n(\{.*?)\n\$ spectra requests\n.*?\n─+\n(.*?)\n```", page, re.DOTALL)[0]
    with running(tree({"duckdb": None}, {"usage": None, "cost": None})) as collector:
        got = collector.post(body.encode(), {"Content-Type": "application/json"})
    assert (got.status, got.body.decode()) == (200, answer)
    command = [sys.executable, "-m", "spectra_otel.cli", "requests"]
    environment = {**os.environ, "COLUMNS": "120", "TZ": "UTC"}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert row == shown.splitlines()[-1].rstrip()


def test_the_kubernetes_manifest_has_a_configuration_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is parsed, and its collector's configuration is valid."""
    monkeypatch.setenv("BACKEND", "http://tempo:4318")
    parts = {part["kind"]: part for part in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())}
    assert set(parts) == {"ConfigMap", "Service", "StatefulSet"}
    config = yaml.safe_load(parts["ConfigMap"]["data"]["config.yaml"])
    assert read_document(expand(config))[1] == []
    container = parts["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["port"] == 13133
