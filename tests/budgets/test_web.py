"""Web applications: a request whose call a budget stopped is answered with 429, JSON and ``Retry-After``."""

from __future__ import annotations

import io
from typing import Any

import openai
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import spectra_otel as spectra
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.middleware import asgi, wsgi

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def ask(app: LocalProvider) -> None:
    with openai.OpenAI(base_url=app.url("openai") + "/v1", api_key="x") as client:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}], max_tokens=10)


def starlette_of(app: LocalProvider) -> TestClient:
    def blocked(request: Any) -> JSONResponse:
        ask(app)
        return JSONResponse({})

    def handled(request: Any) -> PlainTextResponse:
        try:
            ask(app)
        except openai.RateLimitError:
            return PlainTextResponse("try tomorrow", 402)
        return PlainTextResponse("fine")

    def broken(request: Any) -> PlainTextResponse:
        raise ValueError("mine")

    routes = [Route("/blocked", blocked), Route("/handled", handled), Route("/broken", broken)]
    site = Starlette(routes=routes)
    site.add_middleware(asgi.SpectraMiddleware, user=lambda scope: "u1")
    return TestClient(site, raise_server_exceptions=False)


def test_an_asgi_app_answers_429(app: LocalProvider) -> None:
    """With the budget, and when it has room again."""
    spectra.budgets.set("per-user", tokens=1, period="daily", by=["user.id"])
    answer = starlette_of(app).get("/blocked")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 86400
    assert answer.json()["error"]["type"] == "budget_exceeded"
    assert answer.json()["error"]["budget"] == "per-user"
    assert app.ledger == []


def test_what_the_app_answers_itself_stays(app: LocalProvider) -> None:
    """An app that handles the error, and an error of another kind, are left alone."""
    spectra.budgets.set("b", tokens=1)
    client = starlette_of(app)
    assert (client.get("/handled").status_code, client.get("/handled").text) == (402, "try tomorrow")
    assert client.get("/broken").status_code == 500


@pytest.mark.parametrize("catches", [False, True], ids=["raises", "answers-500"])
def test_a_wsgi_app_answers_429(app: LocalProvider, catches: bool) -> None:
    """Whether the framework lets the exception through or has made a 500 of it."""
    spectra.budgets.set("b", tokens=1, period="daily")

    def site(environ: Any, start_response: Any) -> list[bytes]:
        try:
            ask(app)
        except openai.RateLimitError:
            if not catches:
                raise
            start_response("500 Internal Server Error", [("content-type", "text/html")])
            return [b"<h1>", b"oh no</h1>"]
        start_response("200 OK", [])
        return [b"fine"]

    said: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
    body = wsgi.SpectraMiddleware(site)(environ, lambda status, headers, *_: said.append((status, dict(headers))))
    content = b"".join(body)
    body.close()  # type: ignore[attr-defined]
    [(status, headers)] = said
    assert status == "429 Too Many Requests"
    assert int(headers["content-length"]) == len(content)
    assert b'"budget_exceeded"' in content
    assert 0 < int(headers["retry-after"]) <= 86400
