"""The newest release of each instrumentation whose spans were compared with what the provider said.

A newer one is read by the newest rules there are, which is right until it changes what its numbers mean; `spectra doctor` says
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

from spectra_otel.dialects._base import is_under, version_number
from spectra_otel.dialects._reader import all_dialects

_OPENLLMETRY = ("anthropic", "bedrock", "google-generativeai", "langchain", "llamaindex", "openai", "openai-agents")
_FRAMEWORKS = {
    "agno": "1.0.15", "autogen-agentchat": "0.1.22", "dspy": "0.1.48", "groq": "0.1.33", "instructor": "0.1.29",
    "mistralai": "2.2.2", "pydantic-ai": "0.1.30", "smolagents": "0.1.43",
}  # fmt: skip
_GENAI = ("anthropic", "bedrock", "langchain", "openai", "openai-agents")
CHECKED: Mapping[str, str] = {
    "agent-framework-core": "1.23.0", "anthropic": "2.11.0", "google-adk": "2.13.0", "langfuse": "5.0.4",
    "langsmith": "0.14.17", "litellm": "1.106.2", "logfire": "5.2.0", "mistralai": "3.7.0", "mlflow": "3.17.2",
    "openlit": "1.45.0", "pydantic-ai-slim": "2.62.0", "semantic-kernel": "1.45.0", "strands-agents": "1.62.0",
    "openinference-instrumentation-anthropic": "3.1.0", "openinference-instrumentation-bedrock": "0.1.61",
    "openinference-instrumentation-crewai": "1.1.21", "openinference-instrumentation-google-genai": "1.4.14",
    "openinference-instrumentation-langchain": "0.1.80", "openinference-instrumentation-litellm": "0.1.51",
    "openinference-instrumentation-llama-index": "4.6.1", "openinference-instrumentation-openai": "0.1.66",
    "openinference-instrumentation-openai-agents": "2.6.0",
    "opentelemetry-instrumentation-botocore": "0.66b2", "opentelemetry-instrumentation-google-genai": "1.3b0",
    "opentelemetry-instrumentation-openai-v2": "2.4b0",
    **{f"openinference-instrumentation-{name}": version for name, version in _FRAMEWORKS.items()},
    **{f"opentelemetry-instrumentation-genai-{name}": "1.3b0" for name in _GENAI},
    **{f"opentelemetry-instrumentation-{name}": "0.62.4" for name in _OPENLLMETRY},
}  # fmt: skip
"""Distribution → version."""


_SCOPES = {
    "agent-framework": "agent-framework-core", "com-anthropic-sdk-python": "anthropic", "pydantic-ai": "pydantic-ai-slim",
}  # fmt: skip
"""Scopes whose distribution has another name, with ``-`` for what parts their names."""


def distribution_of(scope: str) -> str | None:
    """The distribution whose spans a scope's are, if it is one of those that were checked."""
    name = scope.replace(".", "-").replace("_", "-")
    held = [known for known in (*CHECKED, *_SCOPES) if is_under(name, known)]
    longest = max(held, key=len, default=None)
    return _SCOPES.get(longest, longest) if longest else None


def depends_on_version(scope: str) -> bool:
    """Whether what a scope's numbers mean has changed from one release to another."""
    held = [(len(name), dialect) for dialect in all_dialects() for name in dialect.scopes if is_under(scope, name)]
    dialect = max(held, key=itemgetter(0), default=(0, None))[1]
    rules = (*dialect.names, *dialect.rules) if dialect else ()
    return any((rule.since or rule.below) and is_under(scope, rule.scope) for rule in rules)


def is_newer(distribution: str, version: str) -> bool:
    """Whether a release is of a later series (major and minor number) than the one that was checked."""
    checked, given = version_number(CHECKED[distribution]), version_number(version)
    return checked is not None and given is not None and given[:2] > checked[:2]
