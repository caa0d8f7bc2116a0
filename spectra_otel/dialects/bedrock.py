"""Amazon Bedrock by opentelemetry-instrumentation-botocore.

Input counts no cached tokens. How many there were, only Converse says, from 0.66 on.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Doubt, Draft, Rule
from spectra_otel.dialects._fixes import bedrock_input_lacks_cache, input_excludes_cache

_GUESSED = ("cohere.command", "mistral.")
"""Makers whose answers to InvokeModel hold no counts: tokens are guessed from the length of the text."""


def read_rpc(draft: Draft) -> None:
    """The API's method tells whether the call streams, and whether cached tokens were counted."""
    method = str(draft.attributes.get("rpc.method", ""))
    if method in ("ConverseStream", "InvokeModelWithResponseStream"):
        draft.put("is_streaming", True)
    if not method.startswith("Converse"):
        bedrock_input_lacks_cache(draft)
        if "prompt_tokens" in draft.fields and any(maker in draft.fields.get("model", "") for maker in _GUESSED):
            draft.settle_for(Doubt.ESTIMATED)
    input_excludes_cache(draft)


SCOPE = "opentelemetry.instrumentation.botocore"
DIALECT = Dialect(
    name="bedrock",
    scopes=(f"{SCOPE}.bedrock",),
    role=semconv.role,
    fields=semconv.FIELDS,
    rules=(Rule(SCOPE, (bedrock_input_lacks_cache,), below="0.66"), Rule(SCOPE, (read_rpc,))),
)
