"""AG2 (AutoGen's successor). Counts are the provider's own: Anthropic's input excludes the cache, Gemini's output its thoughts.

What was spent beside the calls that have spans, on compaction or a live session, has a `record_usage` span; one of a sub-task
repeats what its calls say.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Role, Rule
from spectra_otel.dialects._fixes import EXCLUSIVE, input_excludes_cache, output_excludes_counted_reasoning


def role(draft: Draft) -> Role:
    """By operation; a sub-task's account is a roll-up."""
    if draft.attributes.get("ag2.usage.kind") == "subtask":
        return Role.WRAPPER
    return semconv.role(draft)


DIALECT = Dialect(
    name="ag2",
    scopes=("opentelemetry.instrumentation.ag2",),
    role=role,
    fields=semconv.FIELDS,
    rules=(
        Rule("", (input_excludes_cache,), providers=EXCLUSIVE),
        Rule("", (output_excludes_counted_reasoning,), providers=frozenset({"google", "vertex"})),
    ),
)
