"""Who served a call, from the names, hosts and models that instrumentations write.

The name an instrumentation writes is often the SDK's and not the server's: Azure, Groq, DeepSeek and OpenRouter behind the
OpenAI SDK are all `openai` to it. So the host wins where there is one: whose it is, the providers of our own instrumentors say.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from spectra_otel.config.settings import read_settings
from spectra_otel.dialects import _convert as convert
from spectra_otel.providers import registry

NAMES: Mapping[str, str] = {
    **{name: name for name in (
        "openai", "anthropic", "azure", "google", "vertex", "bedrock", "groq", "deepseek", "openrouter", "mistral", "xai",
        "cohere", "ollama", "replicate", "perplexity", "together", "fireworks", "huggingface", "cerebras", "scaleway",
        "elevenlabs", "fal", "voyage", "deepgram", "zai", "writer", "meta",
    )},
    "az": "azure", "azureopenai": "azure", "azureai": "azure", "azuretext": "azure", "microsoft.foundry": "azure",
    "azureaiinference": "azure", "azurefoundry": "azure",
    "anthropicaws": "anthropic", "anthropictext": "anthropic", "claude": "anthropic",
    "gemini": "google", "gcp.gemini": "google", "gcp.genai": "google", "googlegla": "google", "googlegenai": "google",
    "googlegenerativeai": "google", "googleaistudio": "google", "googleai": "google", "palm": "google",
    "vertexai": "vertex", "gcp.vertexai": "vertex", "googlevertex": "vertex", "google.vertex": "vertex",
    "googlevertexai": "vertex", "googleanthropicvertex": "vertex", "anthropicvertex": "vertex", "vertexaibeta": "vertex",
    "chatvertexai": "vertex", "vertexanthropic": "vertex",
    "aws": "bedrock", "awsbedrock": "bedrock", "amazon": "bedrock", "amazonbedrock": "bedrock", "bedrockconverse": "bedrock",
    "bedrockmantle": "bedrock", "anthropicbedrock": "bedrock", "anthropicmantle": "bedrock", "openaimantle": "bedrock",
    "mistralai": "mistral", "codestral": "mistral", "textcompletioncodestral": "mistral", "grok": "xai", "coherechat": "cohere",
    "ollamachat": "ollama", "togetherai": "together", "fireworksai": "fireworks", "falai": "fal", "voyageai": "voyage",
    "x.ai": "xai", "z.ai": "zai", "zhipuai": "zai", "metallama": "meta", "moonshot": "moonshotai", "moonshotai": "moonshotai",
    "gateway": "vercel-gateway", "vercel": "vercel-gateway", "aigateway": "vercel-gateway", "vercelaigateway": "vercel-gateway",
    "textcompletionopenai": "openai", "openaicompatible": "openai_compatible", "openailike": "openai_compatible",
    "customopenai": "openai_compatible", "githubcopilot": "github-copilot", "blackforestlabs": "black_forest_labs",
    "alibaba": "dashscope", "gmicloud": "gmi",
}  # fmt: skip
"""A name in small letters and digits, with its dots → the provider."""

FRAMEWORKS = frozenset({
    "langchain", "langgraph", "strands-agents", "microsoft.agent_framework", "gcp.vertex.agent", "autogen", "ag2", "crewai",
    "llama_index", "llamaindex", "litellm", "litellm_proxy", "semantic_kernel", "pydantic-ai", "haystack", "dspy", "agno",
    "custom", "unknown", "none", "other", "spring_ai",
})  # fmt: skip
"""Names that say which library called, and nothing of who answered."""

_SEPARATORS = str.maketrans("", "", "-_ ")

_END_OF_HOST: Mapping[str, str] = {
    ".openai.azure.com": "azure", ".ai.azure.com": "azure", ".cognitiveservices.azure.com": "azure",
    "-aiplatform.googleapis.com": "vertex",
}  # fmt: skip
"""Ends of hosts of which there are many, private links among them."""

FAMILIES: tuple[tuple[str, str], ...] = (
    ("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"), ("davinci", "openai"),
    ("text-embedding-3", "openai"), ("text-embedding-ada", "openai"), ("dall-e", "openai"), ("whisper-1", "openai"),
    ("tts-1", "openai"), ("ft:gpt-", "openai"), ("claude-", "anthropic"), ("gemini-", "google"), ("models/gemini-", "google"),
    ("text-embedding-004", "google"), ("mistral-", "mistral"), ("ministral-", "mistral"), ("codestral-", "mistral"),
    ("magistral-", "mistral"), ("pixtral-", "mistral"), ("command-", "cohere"), ("grok-", "xai"), ("deepseek-", "deepseek"),
    ("sonar", "perplexity"), ("voyage-", "voyage"),
)  # fmt: skip
"""Beginning of a model name → who sells that model under that name. Only where nothing else is known."""

_BEDROCK_REGIONS = ("us.", "eu.", "apac.", "global.", "us-gov.", "jp.", "au.", "ca.")
_BEDROCK_MAKERS = (
    "anthropic.",
    "amazon.",
    "meta.",
    "mistral.",
    "cohere.",
    "ai21.",
    "deepseek.",
    "openai.",
    "qwen.",
    "writer.",
)


@lru_cache(maxsize=4096)
def served_by(host: str | None, port: int | None, name: str | None, model: str | None) -> str | None:
    """The provider by the host, else by the name, else by whoever sells the model under its name."""
    return from_host(host, port) or from_name(name) or from_model(model)


@lru_cache(maxsize=1024)
def from_name(name: str | None) -> str | None:
    """The provider behind a name, or behind a host that stands for one; None for a framework's, or an unknown host with a port.

    Another name that is not in the table stays as it is.
    """
    if not name:
        return None
    lower = name.lower()
    if lower in FRAMEWORKS:
        return None
    if ":" in lower:
        return from_host(lower)
    known = lower.translate(_SEPARATORS).removesuffix("llm")  # LlamaIndex: openai_llm
    while known:  # openai.chat, googleVertex.anthropic.messages, azure.ai.inference
        if known in NAMES:
            return NAMES[known]
        known = known.rpartition(".")[0]
    return (from_host(lower) if "." in lower else None) or lower


def know_hosts() -> None:
    """Read the one table of hosts: the built-in providers, the user's own and `SPECTRA_PROVIDER_HOSTS`.

    Raises :class:`~spectra_otel.errors.ConfigError` for a setting that cannot be used.
    """
    global _table
    _table = registry.load(read_settings().provider_hosts)
    for known in (from_host, served_by, tier_at, region_at):
        known.cache_clear()
    settled.clear()


_table: registry.Providers | None = None
settled: dict[Any, dict[str, Any]] = {}
"""What the names on a span came to, kept by those who read them; other hosts make it void."""


@lru_cache(maxsize=1024)
def from_host(address: str | None, port: int | None = None) -> str | None:
    """The provider at a host (also in a URL or with a port); None for one that nobody knows."""
    host = convert.host(address)
    if not host:
        return None
    if _table is None:
        know_hosts()
    assert _table is not None
    found = _table.of_host(host, port or convert.port(address))
    rest = host
    while found is None and rest:  # a part of the provider's own domain
        rest = rest.partition(".")[2]
        found = _table.of_host(rest, None)
    if found is not None:
        return found.name
    if host.endswith("amazonaws.com") and host.startswith(("bedrock", "vpce")):
        return "bedrock"
    return next((provider for end, provider in _END_OF_HOST.items() if host.endswith(end)), None)


@lru_cache(maxsize=1024)
def tier_at(address: str | None) -> str | None:
    """The one service tier of a host that sells no other."""
    host = convert.host(address)
    found = _table.of_host(host, None) if host and _table is not None else None
    return found.tier_at.get(host) if host and found is not None else None


@lru_cache(maxsize=1024)
def region_at(address: str | None) -> str | None:
    """The region of a host where prices depend on it."""
    host = convert.host(address)
    found = _table.of_host(host, None) if host and _table is not None else None
    return found.region(host) if host and found is not None else None


@lru_cache(maxsize=1024)
def from_model(model: str | None) -> str | None:
    """Who sells a model under that name; None where it could be many."""
    if not model:
        return None
    name = model.lower()
    for family, provider in FAMILIES:
        if name.startswith(family):
            return provider
    region = next((region for region in _BEDROCK_REGIONS if name.startswith(region)), "")
    return "bedrock" if name[len(region) :].startswith(_BEDROCK_MAKERS) or name.startswith("arn:aws:bedrock:") else None
