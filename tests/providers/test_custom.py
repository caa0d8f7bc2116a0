"""Providers that are not built in: written from the documentation, named in a configuration, added from code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spectra_otel.config.load import load
from spectra_otel.errors import ConfigError
from spectra_otel.providers import custom
from spectra_otel.providers.registry import load as load_providers
from tests.recording import Recorder, recording

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
ANSWER = {"ref": "r1", "text": "Lisbon", "counts": {"in": 12, "out": 3}}


@pytest.fixture
def recorder(monkeypatch) -> Iterator[Recorder]:
    monkeypatch.setattr(custom, "_configured", {})
    monkeypatch.setattr(custom, "_registered", {})
    with recording() as recorder:
        yield recorder


def send(url: str, body: Any, **answer: Any) -> bytes:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, **answer))
    with httpx2.Client(transport=transport) as client:
        return client.post(url, json=body).content


def documented() -> str:
    """The example of the page."""
    [example] = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "class Answer" in block
    ]
    return example


def test_the_documented_provider_reads_plain_streamed_and_binary_answers(recorder):
    """What the page shows works as it stands, also while clients are already observed."""
    send("https://example.com/", {})  # a client is observed before the provider is known
    exec(compile(documented(), str(PAGE), "exec"), {"__name__": "acme"})
    send("https://api.acme.ai/v2/big/answer", {"q": "?"}, json=ANSWER)
    events = (
        b'data: {"text": "Lis"}\n\ndata: {"text": "bon"}\n\ndata: {"ref": "r2", "counts": {"in": 12, "out": 3}}\n\n'
    )
    seen = send(
        "https://eu.acme.ai/v2/big/answer",
        {"live": True},
        content=events,
        headers={"content-type": "text/event-stream"},
    )
    send(
        "https://api.acme.ai/v2/voice/answer",
        {},
        content=b"\xff\xfb\x00",
        headers={"content-type": "audio/mpeg", "x-acme-seconds": "2.5"},
    )
    plain, streamed, binary = recorder.records
    assert seen == events
    assert (plain["provider"], plain["model"], plain["prompt_tokens"], plain["response_id"]) == (
        "acme",
        "big",
        12,
        "r1",
    )
    assert (streamed["completion_tokens"], streamed["is_streaming"], streamed["response_id"]) == (3, True, "r2")
    assert (binary["model"], binary["duration_seconds"], binary.get("prompt_tokens")) == ("voice", 2.5, None)


def test_a_provider_of_the_configuration_needs_only_hosts(recorder):
    """It speaks OpenAI's format unless the configuration says whose."""
    custom.configure(
        {"my-llm": {"hosts": ["LLM.corp"]}, "my-claude": {"hosts": ["claude.corp"], "speaks": "anthropic"}}
    )
    recorder.install()
    chat = {
        "id": "c",
        "model": "m",
        "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    message = {
        "id": "m",
        "type": "message",
        "model": "c",
        "content": [],
        "usage": {"input_tokens": 5, "output_tokens": 6},
    }
    send("https://llm.corp/v1/chat/completions", {"model": "m", "messages": []}, json=chat)
    send("https://claude.corp/v1/messages", {"model": "c", "messages": [], "max_tokens": 1}, json=message)
    assert [(r["provider"], r["prompt_tokens"]) for r in recorder.records] == [("my-llm", 1), ("my-claude", 5)]


def test_the_section_is_part_of_a_configuration_file():
    """Beside receivers, processors and exporters."""
    document = load({
        "receivers": {"otlp": {"protocols": {"http": {}}}}, "exporters": {"debug": {}},
        "providers": {"my-llm": {"hosts": ["llm.corp"]}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}}},
    })  # fmt: skip
    assert document.providers == {"my-llm": {"hosts": ["llm.corp"]}}


@pytest.mark.parametrize(("section", "message"), [
    ({"x": {"host": ["a"]}}, r"providers::x: got '.*', valid keys: hosts, speaks, class"),
    ({"x": {"hosts": "a"}}, r"providers::x::hosts: got 'a', valid: a list of host names"),
    ({"x": {}}, "providers::x: got no hosts"),
    ({"x": "no.such:THING"}, r"providers::x::class: got 'no.such:THING', valid: package.module:Name of a Provider"),
])  # fmt: skip
def test_a_wrong_section_is_one_clear_line(section, message, monkeypatch):
    """Setting, value, what is valid."""
    monkeypatch.setattr(custom, "_configured", {})
    with pytest.raises(ConfigError, match=message):
        custom.configure(section)


def test_a_format_that_nobody_speaks_is_named(monkeypatch):
    """With the names that exist."""
    monkeypatch.setattr(custom, "_configured", {})
    custom.configure({"x": {"hosts": ["a"], "speaks": "klingon"}})
    with pytest.raises(ConfigError, match="providers::x::speaks: got 'klingon', valid: anthropic, azure"):
        load_providers()
