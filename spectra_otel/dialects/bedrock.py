"""Amazon Bedrock by opentelemetry-instrumentation-botocore.

Input counts no cached tokens, and only Converse says how many there were.
"""

from __future__ import annotations

from spectra_otel.dialects import semconv
from spectra_otel.dialects._base import Dialect, Draft, Rule
from spectra_otel.dialects._fixes import input_excludes_cache, input_lacks_cache


def read_rpc(draft: Draft) -> None:
    """The API's method tells whether the call streams, and whether cached tokens were counted."""
    method = str(draft.attributes.get("rpc.method", ""))
    if method in ("ConverseStream", "InvokeModelWithResponseStream"):
        draft.put("is_streaming", True)
    if method.startswith("InvokeModel"):
        input_lacks_cache(draft)
    else:
        input_excludes_cache(draft)


SCOPE = "opentelemetry.instrumentation.botocore"
DIALECT = Dialect(
    name="bedrock",
    scopes=(f"{SCOPE}.bedrock",),
    role=semconv.role,
    fields=semconv.FIELDS,
    rules=(Rule(SCOPE, (read_rpc,)),),
)
