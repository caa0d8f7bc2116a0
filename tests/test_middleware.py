"""Web applications: the calls of a request carry its user, and what it recorded is on disk after its response."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import httpx2
import pytest

from spectra_otel import faults, instrumentors
from spectra_otel.middleware import ASGIMiddleware, WSGIMiddleware
from tests.recording import Recorder

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
CHAT = {"id": "c", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def ask() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=CHAT))
    with httpx2.Client(transport=transport) as client:
        client.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-4o", "messages": []})


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    ask()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"o"
    ask()
    yield b"k"


def serve_asgi(app: Any, user: str) -> bytes:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    headers = [(b"x-user", user.encode()), (b"traceparent", PARENT.encode())]
    asyncio.run(app({"type": "http", "path": "/chat", "headers": headers}, receive, send))
    return b"".join(message.get("body", b"") for message in sent)


def serve_wsgi(app: Any, user: str) -> bytes:
    environ: dict[str, Any] = {"HTTP_X_USER": user, "HTTP_TRACEPARENT": PARENT}
    setup_testing_defaults(environ)
    body = app(environ, lambda *_: None)
    found = b"".join(body)
    body.close()
    return found


def asgi(**asked: Any) -> Any:
    return ASGIMiddleware(asgi_app, user=lambda scope: dict(scope["headers"])[b"x-user"].decode(), **asked), serve_asgi


def wsgi(**asked: Any) -> Any:
    return WSGIMiddleware(wsgi_app, user=lambda environ: environ["HTTP_X_USER"], **asked), serve_wsgi


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    recorder.install()
    yield recorder
    instrumentors.uninstall()


@pytest.mark.parametrize("kind", [asgi, wsgi])
def test_calls_of_a_request_are_its_users(kind, recorder):
    """Also those made while the body is streamed; the next request has its own, and nothing is left behind."""
    app, serve = kind(tags=["web"], metadata=lambda _: {"route": "/chat"})
    assert (serve(app, "u1"), serve(app, "u2")) == (b"ok", b"ok")
    ask()
    first, second, outside = recorder.records
    assert (first["user_id"], first["tags"], first["metadata"]["route"]) == ("u1", ["web"], "/chat")
    assert (second["user_id"], outside.get("user_id"), outside.get("tags")) == ("u2", None, None)


@pytest.mark.parametrize("kind", [asgi, wsgi])
def test_calls_join_the_trace_of_the_request(kind, recorder):
    """Where no other instrumentation made a span for the request."""
    app, serve = kind()
    serve(app, "u1")
    assert f"{recorder.only['_span'].context.trace_id:032x}" == TRACE


def test_a_user_function_that_raises_is_a_request_without_a_user(recorder):
    """The request is served, and the fault is counted."""
    before = sum(faults.counts().values())
    app = WSGIMiddleware(wsgi_app, user=lambda environ: environ["no such key"])
    assert serve_wsgi(app, "u1") == b"ok"
    assert recorder.only.get("user_id") is None
    assert sum(faults.counts().values()) == before + 1


def test_an_async_user_function_that_raises_is_a_request_without_a_user(recorder):
    """As one that is no coroutine function."""

    async def nobody(scope: Any) -> str:
        return scope["no such key"]  # type: ignore[no-any-return]

    before = sum(faults.counts().values())
    assert serve_asgi(ASGIMiddleware(asgi_app, user=nobody, metadata=nobody), "u1") == b"ok"
    assert recorder.only.get("user_id") is None
    assert sum(faults.counts().values()) == before + 2


def test_a_server_sees_of_a_body_what_it_would_see_without_us(recorder):
    """How many pieces there are, from which servers take a length, and that it is a file, which they send by themselves."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return FileWrapper(io.BytesIO(b"ok")) if environ["PATH_INFO"] == "/file" else [b"ok"]

    served = WSGIMiddleware(app)
    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper, "PATH_INFO": "/"}
    setup_testing_defaults(environ)
    body: Any = served(environ, lambda *_: None)
    assert (len(body), list(body)) == (1, [b"ok"])
    assert isinstance(served({**environ, "PATH_INFO": "/file"}, lambda *_: None), FileWrapper)
    with pytest.raises(TypeError):
        len(WSGIMiddleware(wsgi_app)(environ, lambda *_: None))  # type: ignore[arg-type]


SERVED = """
import sys
sys.path.insert(0, {root!r})
import spectra_otel as spectra
from tests import test_middleware as web
spectra.configure()
app, serve = web.{kind}()
serve(app, "u1")
import threading
[t.join(10) for t in threading.enumerate() if t.name == "spectra-after-response"]
import os
os._exit(9)  # nothing that would run at exit runs
"""


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_after_the_response_the_record_is_on_disk(kind, tmp_path):
    """With ``SPECTRA_PERSISTENCE=after_response`` a kill right after the response loses nothing of it."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = {**os.environ, "SPECTRA_HOME": str(tmp_path), "SPECTRA_PERSISTENCE": "after_response"}
    env["OTEL_TRACES_EXPORTER"] = "none"
    code = SERVED.format(root=root, kind=kind)
    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=60, check=False).returncode == 9
    asked = [
        sys.executable,
        "-m",
        "spectra_otel.cli",
        "query",
        "select user_id from spectra_requests",
        "--format",
        "json",
    ]
    found = subprocess.run(asked, env=env, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(found.stdout) == [{"user_id": "u1"}]


WORKED = """
import sys
sys.path.insert(0, {root!r})
import os
import spectra_otel as spectra
spectra.configure()
import celery
from celery import signals
from spectra_otel.middleware import celery as tasks
from tests.test_middleware import ask
app = celery.Celery("app", broker="memory://")
app.conf.task_always_eager = True

@app.task
def work():
    ask()

tasks.install(user=lambda task: "u1")
work.apply()
{then}
os._exit(9)
"""


@pytest.mark.parametrize(("persistence", "then"), [
    ("after_response", ""), ("background", "signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)"),
])  # fmt: skip
def test_a_task_of_celery_loses_no_record(persistence, then, tmp_path):
    """After each task where that is asked for; else before the worker's process ends, which runs nothing at its exit."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = {
        **os.environ,
        "SPECTRA_HOME": str(tmp_path),
        "SPECTRA_PERSISTENCE": persistence,
        "OTEL_TRACES_EXPORTER": "none",
    }
    code = WORKED.format(root=root, then=then)
    ran = subprocess.run([sys.executable, "-c", code], env=env, timeout=60, check=False, capture_output=True, text=True)
    assert ran.returncode == 9, ran.stderr
    asked = [
        sys.executable,
        "-m",
        "spectra_otel.cli",
        "query",
        "select user_id, metadata ->> '$.task.name' as task from spectra_requests",
        "--format",
        "json",
    ]
    found = subprocess.run(asked, env=env, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(found.stdout) == [{"user_id": "u1", "task": "app.work"}]
