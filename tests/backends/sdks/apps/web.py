"""Web frameworks and a task queue, each with a view that asks a model for the user ``ada``."""

from __future__ import annotations

import asyncio
from typing import Any

import celery
import django
import fastapi
import flask
import openai
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="apps.web",
    SECRET_KEY="x",
    MIDDLEWARE=["spectra_otel.middleware.django.SpectraMiddleware"],
    SPECTRA={"user": lambda request: request.headers.get("x-user")},
)
django.setup()

from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from spectra_otel.middleware import celery as tasks
from spectra_otel.middleware.asgi import SpectraMiddleware as AsgiMiddleware
from spectra_otel.middleware.wsgi import SpectraMiddleware as WsgiMiddleware

server: Any = None


def ask_model(*_: Any) -> str:
    client = openai.OpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0)
    said = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    return said.choices[0].message.content or ""


async def ask_async(*_: Any) -> str:
    async with openai.AsyncOpenAI(base_url=server.url("openai") + "/v1", api_key="x", max_retries=0) as client:
        said = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    return said.choices[0].message.content or ""


def django_view(request: Any) -> HttpResponse:
    return HttpResponse(ask_model())


async def django_async_view(request: Any) -> HttpResponse:
    return HttpResponse(await ask_async())


urlpatterns = [path("sync", django_view), path("async", django_async_view)]

api = fastapi.FastAPI()
api.add_middleware(AsgiMiddleware, user=lambda scope: dict(scope["headers"])[b"x-user"].decode())
api.get("/sync")(lambda: ask_model())


@api.get("/async")
async def fastapi_async() -> str:
    return await ask_async()


site = flask.Flask("site")
site.add_url_rule("/sync", view_func=ask_model)
site.wsgi_app = WsgiMiddleware(site.wsgi_app, user=lambda environ: environ["HTTP_X_USER"])  # type: ignore[method-assign]

queue = celery.Celery("queue")
work = queue.task(name="work")(ask_model)
tasks.install(user=lambda task: "ada")


async def call_asgi(app: Any, where: str) -> None:
    """One GET request as a server makes it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": where,
        "raw_path": where.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"x-user", b"ada")], "server": ("test", 80), "client": ("test", 1),
        "scheme": "http",
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 200


def with_server(call: Any) -> Any:
    def run(given: Any) -> Any:
        global server
        server = given
        return call()

    return run


async def django_async() -> None:
    assert (await AsyncClient().get("/async", headers={"x-user": "ada"})).status_code == 200


CASES = {
    f"openai/plain {name}": with_server(call)
    for name, call in {
        "fastapi": lambda: call_asgi(api, "/sync"),
        "fastapi async": lambda: call_asgi(api, "/async"),
        "django": lambda: Client().get("/sync", headers={"x-user": "ada"}),
        "django async": lambda: asyncio.run(django_async()),
        "flask": lambda: site.test_client().get("/sync", headers={"x-user": "ada"}),
        "celery": lambda: work.apply(),
    }.items()
}
