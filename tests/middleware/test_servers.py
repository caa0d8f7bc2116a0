"""The middlewares under real servers: whose call it was, in which trace, and on disk once the response is out."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.support import BIN, SPECTRA, environment, stored
from tests.sdk.test_servers import free_port

APPS = Path(__file__).parent / "apps"
COMMANDS = {
    "asgi": [str(BIN / "uvicorn"), "starlette_app:app", "--port"],
    "wsgi": [str(BIN / "gunicorn"), "wsgi_app:app", "-w", "1", "-b"],
}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Site:
    """A running server and the store its records go to."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self._port = home, port

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", headers=names)
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def record_of(self, path: str, seconds: float = 60.0) -> dict[str, Any]:
        """The newest record of a request for ``path``, as soon as it is on disk."""
        deadline = time.monotonic() + seconds
        while True:
            for row in reversed(stored(self.home)):
                metadata = json.loads(row["metadata"]) if isinstance(row["metadata"], str) else row["metadata"]
                if (metadata or {}).get("http", {}).get("path") == path:
                    return {**row, "metadata": metadata}
            assert time.monotonic() < deadline, f"no record of {path}"
            time.sleep(0.1)


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server per dialect, which writes after the response and would wait five seconds of its own accord."""
    home, port = tmp_path_factory.mktemp(request.param), free_port()
    for app in APPS.glob("*_app.py"):
        shutil.copy(app, home)
    command = [*COMMANDS[request.param], f"127.0.0.1:{port}" if request.param == "wsgi" else str(port)]
    variables = environment(home / "spectra", SPECTRA_PERSISTENCE="after_response")
    server = subprocess.Popen(
        [*SPECTRA, "run", "--", *command], cwd=home, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    yield Site(home / "spectra", port)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)


@pytest.fixture
def asgi(site: Site, request: pytest.FixtureRequest) -> Site:
    if request.node.callspec.params["site"] != "asgi":
        pytest.skip("of ASGI alone")
    return site


def test_a_call_carries_user_request_and_tags(site: Site) -> None:
    """The record says who asked for which path, and is on disk right after the response."""
    assert site.get("/plain", x_user="ada")[0] == 200
    record = site.record_of("/plain")
    assert record["user_id"] == "ada"
    assert record["tags"] == ["web"]
    assert record["metadata"]["http"] == {"method": "GET", "path": "/plain"}


def test_a_request_continues_the_trace_of_its_caller(site: Site) -> None:
    """A ``traceparent`` header makes the call part of the caller's trace; the next request is in a trace of its own."""
    assert site.get("/plain", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")[1] == TRACE
    assert site.get("/plain")[1] != TRACE


def test_a_spent_budget_is_an_answer(site: Site) -> None:
    """A call that a budget stopped gives status 429 and says which budget it was."""
    status, body = site.get("/spent")
    assert status == 429
    assert json.loads(body)["error"]["budget"] == "team"


def test_wsgi_bodies_belong_to_their_request(site: Site, request: pytest.FixtureRequest) -> None:
    """A call made while the server reads the body carries the request's user."""
    if request.node.callspec.params["site"] != "wsgi":
        pytest.skip("of WSGI alone")
    site.get("/streamed", x_user="ada")
    assert site.record_of("/streamed")["user_id"] == "ada"


@pytest.mark.parametrize("path", ["/threaded", "/later"])
def test_calls_of_threads_and_background_tasks_belong_to_their_request(path: str, asgi: Site) -> None:
    """Views that run in a thread, and tasks that run after the response, carry the user too."""
    asgi.get(path, x_user="ada")
    assert asgi.record_of(path)["user_id"] == "ada"


def test_the_app_can_name_the_user_later(asgi: Site) -> None:
    """``identify`` says who it is once the app knows; what the middleware knew of the request stays."""
    asgi.get("/known", x_user="ada")
    record = asgi.record_of("/known")
    assert record["user_id"] == "grace"
    assert record["metadata"]["plan"] == "pro"
