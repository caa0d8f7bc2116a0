"""TLS, clients' certificates, headers that become attributes, and components of third parties in a collector that runs."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

from spectra_otel.errors import ConfigError
from spectra_otel.exporters.duckdb.store import DuckDBStore
from spectra_otel.otlp.signals import TRACES
from tests.exporters.certificates import Certificates, make_certificates
from tests.exporters.servers import http_server
from tests.service.running import CHAT, FREE, PROTOBUF, request, running, tree
from tests.service.test_bad_input import process
from tests.service.test_collector import until

GOOD = request(CHAT).SerializeToString()
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    """A certificate authority with a server and a client."""
    return make_certificates(tmp_path)


def post(port: int, context: ssl.SSLContext) -> int:
    """POST over TLS."""
    prepared = urllib.request.Request(f"https://localhost:{port}/v1/traces", GOOD, PROTOBUF)
    with urllib.request.urlopen(prepared, context=context, timeout=60) as answer:
        return int(answer.status)


def call(port: int, credentials: grpc.ChannelCredentials) -> Any:
    """Export over gRPC with TLS."""
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        export: Any = channel.unary_unary(TRACES.method)
        return export(GOOD, timeout=60)


@pytest.mark.parametrize("mutual", [False, True])
def test_both_protocols_speak_tls(mutual: bool, files: Certificates) -> None:
    """With `client_ca_file` only clients of that authority get in."""
    tls = {"cert_file": str(files.server_cert), "key_file": str(files.server_key)}
    if mutual:
        tls["client_ca_file"] = str(files.ca)
    protocols = {name: {"endpoint": FREE, "tls": tls} for name in ("http", "grpc")}
    context = ssl.create_default_context(cafile=str(files.ca))
    anonymous = grpc.ssl_channel_credentials(files.ca.read_bytes())
    known = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.client_key.read_bytes(), files.client_cert.read_bytes()
    )
    with running(tree({"debug": None}, protocols=protocols)) as collector:
        http, grpc_port = collector.port("http"), collector.port("grpc")
        if mutual:
            with pytest.raises(OSError, match=r"certificate|reset|closed|EOF|Broken"):
                post(http, context)
            with pytest.raises(grpc.RpcError):
                call(grpc_port, anonymous)
            context.load_cert_chain(files.client_cert, files.client_key)
        assert post(http, context) == 200
        assert call(grpc_port, known if mutual else anonymous) == b""


def test_certificates_are_read_again(files: Certificates, tmp_path: Path) -> None:
    """New connections meet the renewed one, and one half of a pair is not used."""
    tls = {"cert_file": str(files.server_cert), "key_file": str(files.server_key), "reload_interval": "50ms"}
    protocols = {name: {"endpoint": FREE, "tls": tls} for name in ("http", "grpc")}
    (tmp_path / "renewed").mkdir()
    renewed = make_certificates(tmp_path / "renewed")

    def is_trusted(authority: Path) -> bool:
        try:
            post(http, ssl.create_default_context(cafile=str(authority)))
            call(grpc_port, grpc.ssl_channel_credentials(authority.read_bytes()))
        except (OSError, grpc.RpcError):
            return False
        return True

    with running(tree({"debug": None}, protocols=protocols)) as collector:
        http, grpc_port = collector.port("http"), collector.port("grpc")
        assert is_trusted(files.ca)
        files.server_cert.write_bytes(renewed.server_cert.read_bytes())
        time.sleep(0.2)
        assert is_trusted(files.ca)
        files.server_key.write_bytes(renewed.server_key.read_bytes())
        until(lambda: is_trusted(renewed.ca))


def test_sockets_of_the_file_system_are_served(tmp_path: Path) -> None:
    """As `transport: unix` of the OpenTelemetry Collector, for both protocols."""
    protocols = {name: {"endpoint": str(tmp_path / name), "transport": "unix"} for name in ("http", "grpc")}
    protocols["http"]["response_headers"] = {"x-served-by": "spectra"}  # type: ignore[assignment]
    with running(tree({"debug": None}, protocols=protocols)), socket.socket(socket.AF_UNIX) as client:
        client.connect(protocols["http"]["endpoint"])
        head = (
            f"POST /v1/traces HTTP/1.0\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(GOOD)}\r\n\r\n"
        )
        client.sendall(head.encode() + GOOD)
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.0 200")
        assert b"x-served-by: spectra" in answer.lower()
        with grpc.insecure_channel(f"unix:{protocols['grpc']['endpoint']}") as channel:
            export: Any = channel.unary_unary(TRACES.method)
            assert export(GOOD, timeout=60) == b""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_socket_of_another_process_is_left_to_it(protocol: str, tmp_path: Path) -> None:
    """One that a process left behind is taken over; where none can be made, the line says why."""
    path = tmp_path / "x.sock"
    config = tree({"debug": None}, protocols={protocol: {"endpoint": str(path), "transport": "unix"}})
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ConfigError, match=f"cannot listen on '{path}': Address already in use"), running(config):
            pass
    with running(config):
        assert path.exists()
    config["receivers"]["otlp"]["protocols"][protocol]["endpoint"] = str(tmp_path / "no" / "x.sock")
    with pytest.raises(ConfigError, match=r"no/x.sock': No such file or directory"), running(config):
        pass


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("missing", ["cert_file", "client_ca_file"])
def test_a_file_that_cannot_be_read_is_an_error_at_start(missing: str, protocol: str, files: Certificates) -> None:
    """It names the receiver, the setting and the file."""
    tls = {"cert_file": str(files.server_cert), "key_file": str(files.server_key), missing: "no.pem"}
    config = tree({"debug": None}, protocols={protocol: {"endpoint": FREE, "tls": tls}})
    message = f"receivers::otlp: tls: failed to load {missing} 'no.pem'.*: No such file or directory"
    with pytest.raises(ConfigError, match=message), running(config):
        pass


@pytest.mark.parametrize("compression", ["gzip", "zstd", "zlib", "none"])
def test_exporters_send_the_credentials_of_an_extension(compression: str, tmp_path: Path) -> None:
    """A token of a file that is renewed, or a name and password; over HTTP with each compression, and gRPC."""
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("first")
    password.write_text("secret\n")
    basic = {"basicauth/mine": {"client_auth": {"username": "me", "password_file": str(password)}}}
    extensions = {"bearertokenauth": {"filename": str(token)}, **basic}
    received = {"http": {"endpoint": FREE, "auth": {"authenticator": "basicauth"}}, "grpc": {"endpoint": FREE}}
    behind = tree(
        {"debug": None},
        protocols=received,
        extensions={"basicauth": {"htpasswd": {"inline": "me:secret"}}},
        service={"extensions": ["basicauth"]},
    )
    with http_server() as server, running(behind) as other:
        auth = {"auth": {"authenticator": "bearertokenauth"}, "sending_queue": {"enabled": False}}
        basic_auth = {**auth, "auth": {"authenticator": "basicauth/mine"}, "compression": compression}
        exporters = {
            "otlp_http": {"endpoint": server.endpoint, **auth},
            "otlp_http/other": {"endpoint": f"http://127.0.0.1:{other.port('http')}", **basic_auth},
            "otlp_grpc": {"endpoint": f"127.0.0.1:{other.port('grpc')}", "tls": {"insecure": True}, **auth},
        }
        with running(tree(exporters, extensions=extensions, service={"extensions": list(extensions)})) as collector:
            assert collector.post(GOOD).status == 200
            token.write_text("second")
            assert collector.post(GOOD).status == 200
        assert other.metric("otelcol_receiver_accepted_spans", transport="http") == 2
        assert other.metric("otelcol_receiver_accepted_spans", transport="grpc") == 2
    assert [headers["authorization"] for headers in server.headers] == ["Bearer first", "Bearer second"]


def test_credentials_that_cannot_be_read_are_an_error_at_start_and_tried_again_later(tmp_path: Path) -> None:
    """A file that is being replaced loses no request."""
    password = tmp_path / "password"
    extensions = {"basicauth": {"client_auth": {"username": "me", "password_file": str(password)}}}
    with http_server() as server:
        retry = {"initial_interval": "50ms"}
        exporter = {"endpoint": server.endpoint, "auth": {"authenticator": "basicauth"}, "retry_on_failure": retry}
        config = tree({"otlp_http": exporter}, extensions=extensions, service={"extensions": ["basicauth"]})
        message = "extensions::basicauth: client_auth: cannot read the credentials"
        with pytest.raises(ConfigError, match=message), running(config):
            raise AssertionError
        password.write_text("secret")
        with running(config) as collector:
            password.unlink()
            assert collector.post(GOOD).status == 200
            time.sleep(0.2)
            assert server.headers == []
            password.write_text("other")
            until(lambda: server.headers)
    assert server.headers[0]["authorization"] == "Basic bWU6b3RoZXI="


def test_an_authenticator_that_is_not_there_is_an_error_at_start() -> None:
    """In the words of the OpenTelemetry Collector."""
    config = tree({"otlp_http": {"endpoint": "http://x:1", "auth": {"authenticator": "nope"}}})
    with (
        pytest.raises(ConfigError, match='failed to resolve authenticator "nope": authenticator not found'),
        running(config),
    ):
        raise AssertionError


def test_a_tenants_header_becomes_part_of_the_record(tmp_path: Path) -> None:
    """Each request's own, where the receiver keeps headers."""
    database = tmp_path / "x.duckdb"
    action = {"key": "spectra.metadata.tenant", "action": "upsert", "from_context": "metadata.X-Tenant"}
    processors = {"attributes": {"actions": [action]}, "usage": None, "cost": None}
    protocols = {"http": {"endpoint": FREE, "include_metadata": True}}
    with running(tree({"duckdb": {"path": str(database)}}, processors, protocols=protocols)) as collector:
        for number, tenant in enumerate(("t1", "t2"), 1):
            collector.post(request(CHAT, seed=number).SerializeToString(), {"X-Tenant": tenant})
    rows = DuckDBStore(database).requests()
    assert sorted(row["metadata"]["tenant"] for row in rows) == ["t1", "t2"]


def install_project(site: Path, project: dict[str, Any], modules: dict[str, str]) -> None:
    """What `pip install` makes of a project."""
    info = site / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 1.0\n")
    groups = project["project"]["entry-points"].items()
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()) for group, points in groups
    ]
    (info / "entry_points.txt").write_text("".join(lines))
    for name, code in modules.items():
        (site / f"{name}.py").write_text(code)


def test_the_component_of_the_documentation_runs_in_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor that the page walks through, installed as a distribution of somebody else's."""
    page = (ROOT / "docs" / "writing-a-component.md").read_text()
    blocks = dict(re.findall(r"```(python|toml|yaml)\n(.*?)```", page, re.DOTALL))
    project = tomllib.loads(blocks["toml"])
    install_project(tmp_path / "site", project, {project["tool"]["setuptools"]["py-modules"][0]: blocks["python"]})
    (tmp_path / "shown.yaml").write_text(blocks["yaml"])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for command, said in ((["components"], "drop_by_name"), (["validate", "--config", "shown.yaml"], ": valid")):
        spectra = [sys.executable, "-m", "spectra_otel.cli", *command]
        done = subprocess.run(spectra, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert said in done.stdout + done.stderr
    message = request({"n": 1}, {"n": 2})
    message.resource_spans[0].scope_spans[0].spans[0].name = "healthcheck"
    with http_server() as backend:
        collector = process(tmp_path, otlp_http={"endpoint": backend.endpoint})
        text = collector._config.read_text()
        collector._config.write_text(
            text.replace("  cost: null\n", "  cost: null\n  drop_by_name: {names: [healthcheck]}\n").replace(
                "      - cost\n", "      - cost\n      - drop_by_name\n"
            )
        )
        with collector as (port, _):
            url = f"http://127.0.0.1:{port}/v1/traces"
            prepared = urllib.request.Request(url, message.SerializeToString(), PROTOBUF)
            with urllib.request.urlopen(prepared, timeout=60) as answer:
                assert answer.status == 200
            until(lambda: backend.spans)
        assert [span.name for span in backend.spans] == ["chat gpt-4o"]
