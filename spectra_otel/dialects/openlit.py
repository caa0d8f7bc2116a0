"""OpenLIT. One scope, `openlit.otel.tracing`, up to 1.33; a scope for each SDK in later releases.

Input of Anthropic and Bedrock counts no cached tokens; output of Gemini counts no thoughts. Where an OpenAI stream brings no
usage, OpenLIT counts tokens itself.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, From, Role, Rule
from spectra_otel.dialects._convert import enum_name, seconds
from spectra_otel.dialects._fixes import (
    EXCLUSIVE,
    input_excludes_cache,
    input_lacks_cache,
    no_cache_counts,
    output_excludes_counted_reasoning,
    streamed_usage_may_be_guessed,
)


def role(draft: Draft) -> Role:
    """A failed call may carry nothing but its name, `chat gpt-4o`."""
    if "operation" not in draft.fields:
        operation, _, model = draft.span.name.partition(" ")
        if operation in semconv.OPERATIONS and model:
            draft.fields["operation"] = operation
            draft.give("model", model)
    return semconv.role(draft)


GOOGLE = frozenset({"google", "vertex"})
OTHERS = frozenset(
    {"openai", "azure", "groq", "mistral", "deepseek", "openrouter", "xai", "together", "google", "vertex"}
)
OLD, NEW = "openlit.otel.tracing", "openlit.instrumentation"
DIALECT = Dialect(
    name="openlit",
    scopes=("openlit",),
    role=role,
    fields={
        **semconv.FIELDS,
        "finish_reason": (From("gen_ai.response.finish_reasons", enum_name),),
        "time_to_first_token_ms": (From("gen_ai.server.time_to_first_token", seconds),),
        "user_id": ("user.id", "enduser.id", "gen_ai.request.user"),
    },
    rules=(
        Rule(NEW, (input_excludes_cache,), providers=EXCLUSIVE),
        Rule(NEW, (output_excludes_counted_reasoning,), providers=GOOGLE),
        Rule(NEW, (streamed_usage_may_be_guessed,)),
        Rule(OLD, (input_lacks_cache, input_excludes_cache), providers=EXCLUSIVE),
        Rule(OLD, (output_excludes_counted_reasoning,), providers=GOOGLE),
        Rule(OLD, (no_cache_counts,), providers=OTHERS),
    ),
)
