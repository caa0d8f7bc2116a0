"""Whose host it is, and which of its requests are billed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import spectra_otel.providers
from spectra_otel.errors import ConfigError
from spectra_otel.providers.base import Endpoint, Provider, StreamReader
from spectra_otel.providers.registry import Providers, load
from spectra_otel.providers.wire.chat import Chat


@pytest.fixture(scope="module")
def providers() -> Providers:
    return load()


@pytest.mark.parametrize(("host", "name"), [
    ("api.openai.com", "openai"), ("eu.api.openai.com", "openai"), ("API.OpenAI.com", "openai"),
    ("api.anthropic.com", "anthropic"), ("generativelanguage.googleapis.com", "google"),
    ("us-central1-aiplatform.googleapis.com", "vertex"), ("acme.openai.azure.com", "azure"), ("openrouter.ai", "openrouter"),
])  # fmt: skip
def test_a_known_host_is_its_providers(providers, host, name):
    """Exact names, names with placeholders, and any case."""
    assert providers.of_host(host, None) is providers.by_name[name]


@pytest.mark.parametrize(
    "host", ["example.com", "api.openai.com.evil.com", "x.y.api.openai.com", "notapi.anthropic.com"]
)
def test_another_host_is_nobodys(providers, host):
    """What only looks alike does not match."""
    assert providers.of_host(host, 443) is None


def test_ollama_is_known_by_its_port(providers):
    """Wherever it runs."""
    assert providers.of_host("192.168.1.7", 11434) is providers.by_name["ollama"]


@pytest.mark.parametrize(("name", "path"), [
    ("openai", "/v1/chat/completions"), ("openai", "/v1/responses"), ("openai", "/v1/responses/compact"),
    ("openai", "/v1/embeddings"), ("openai", "/v1/completions"), ("openai", "/proxy/openai/v1/chat/completions/"),
    ("anthropic", "/v1/messages"), ("google", "/v1beta/models/gemini-2.5-flash:generateContent"),
    ("bedrock", "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse"), ("fal", "/fal-ai/flux/dev"),
    ("bedrock", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.titan-tg1-large/invoke"),
    ("replicate", "/v1/models/meta/llama-3/predictions"), ("elevenlabs", "/v1/text-to-speech/v1/stream"),
    ("google", "/v1/models/gemini-2.5-flash:streamGenerateContent"), ("google", "/v1beta/models/m:batchEmbedContents"),
])  # fmt: skip
def test_what_is_billed_is_in_the_table(providers, name, path):
    """The end of the path counts, so that a gateway's prefix does not matter."""
    assert providers.by_name[name].endpoint("POST", path) is not None


@pytest.mark.parametrize(("name", "method", "path"), [
    ("openai", "GET", "/v1/models"), ("openai", "POST", "/v1/files"),
    ("openai", "DELETE", "/v1/responses/resp_1"), ("openai", "POST", "/v1/responses/input_tokens"),
    ("openai", "POST", "/v1/threads/t1/messages"), ("anthropic", "POST", "/v1/messages/count_tokens"),
    ("vertex", "POST", "/v1/projects/p/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict"),
    ("google", "POST", "/v1beta/models/gemini-2.5-flash:countTokens"), ("google", "GET", "/v1beta/models"),
])  # fmt: skip
def test_what_is_not_billed_is_skipped(providers, name, method, path):
    """Lists, files, threads and counting are not calls that cost."""
    assert providers.by_name[name].endpoint(method, path) is None


def test_asking_after_a_job_is_a_row_of_its_own(providers):
    """A poll makes no record of its own; it completes that of the call that began the job."""
    found = providers.by_name["openai"].endpoint("GET", "/v1/responses/resp_1")
    assert found is not None
    assert (found[0].completes, found[1]) == (True, {"job": "resp_1"})


def test_the_model_is_in_the_path(providers):
    """Placeholders say what they matched."""
    found = providers.by_name["google"].endpoint("POST", "/v1beta/models/gemini-2.5-flash:generateContent")
    assert found is not None
    assert found[1] == {"model": "gemini-2.5-flash"}


def test_the_setting_names_hosts():
    """A host with a port is that port's; a host alone is all its ports'."""
    providers = load({"localhost:8000": "openai", "llm.corp": "anthropic"})
    assert providers.of_host("localhost", 8000) is providers.by_name["openai"]
    assert providers.of_host("localhost", 8001) is None
    assert providers.of_host("llm.corp", 8443) is providers.by_name["anthropic"]


def test_a_setting_with_an_unknown_provider_says_what_is_valid():
    """One line: setting, value, valid values."""
    with pytest.raises(ConfigError, match=r"SPECTRA_PROVIDER_HOSTS: got 'h=opnai', valid providers: .*openai, "):
        load({"h": "opnai"})


def test_a_provider_of_the_users_own():
    """A class, hosts with placeholders and rows: nothing else is needed."""
    mine = Provider("mine", ("{team}.llm.corp",), (Endpoint("/{model}/talk", Chat()),))
    providers = Providers([mine])
    assert providers.of_host("blue.llm.corp", None) is mine
    assert mine.endpoint("POST", "/v2/big/talk") == (mine.endpoints[0], {"model": "big"})


def test_every_module_of_the_folder_is_known(providers):
    """A new provider is one new file: nothing lists them."""
    folder = Path(spectra_otel.providers.__path__[0])
    others = {"__init__", "base", "custom", "registry", "values", "gateways"}
    files = {path.stem for path in folder.glob("*.py")} - others
    assert files <= providers.by_name.keys()
    assert {"together", "perplexity", "fireworks"} <= providers.by_name.keys()


def test_every_format_reads_events_of_any_shape(providers):
    """No JSON object, however odd, makes a reader fail."""
    odd = [{}, {"type": 5}, {"error": "x"}, {"error": {"message": 7}}, {"usage": 3}, {"choices": "x"}, {"delta": None}]
    formats = {id(row.format): row.format for p in providers.by_name.values() for row in p.endpoints}
    for format_ in formats.values():
        try:
            reader: StreamReader = format_.open_stream({})
        except NotImplementedError:
            continue
        for event in odd:
            reader.event(event)
        reader.finish()


def test_a_host_that_is_nobodys_costs_next_to_nothing(providers):
    """Less than five microseconds, asked again and again."""
    best = 1.0
    for _ in range(20):
        begin = time.perf_counter()
        for _ in range(1000):
            providers.of_host("example.com", 443)
        best = min(best, (time.perf_counter() - begin) / 1000)
    assert best < 5e-6
