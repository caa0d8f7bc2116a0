"""Groq. Older streams have their usage in ``x_groq`` of the last chunk, without asking. Tools that it ran itself are billed."""

from collections import Counter

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.values import Json, Values, as_dict, as_list
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Embeddings, read_usage
from spectra_otel.providers.wire.media import Speech, Transcription
from spectra_otel.providers.wire.responses import Responses

_TOOLS = {
    "search": "web_search",
    "python": "code_interpreter",
    "code_execution": "code_interpreter",
    "visit": "visit_website",
}
_RUN = "groq.executed"
"""The tools that ran, by their index: pieces of a stream may repeat them."""


def _rest(body: Json, values: Values) -> None:
    _usage_of_old(body, values)
    for choice in map(as_dict, as_list(body.get("choices"))):
        for holder in (as_dict(choice.get("message")), as_dict(choice.get("delta"))):
            for tool in map(as_dict, as_list(holder.get("executed_tools"))):
                kind = str(tool.get("type")).replace(".", "_")
                values.setdefault(_RUN, {})[str(tool.get("index"))] = _TOOLS.get(kind, kind)
    if _RUN in values:
        values["tool_call_counts"] = dict(Counter(values[_RUN].values()))


def _usage_of_old(body: Json, values: Values) -> None:
    usage = as_dict(body.get("x_groq")).get("usage")
    if isinstance(usage, dict):
        values["usage_raw"] = usage
        read_usage(usage, values)


batch = Batch()

PROVIDER = Provider(
    name="groq",
    hosts=("api.groq.com",),
    budget_block="429",
    endpoints=(
        Endpoint("/chat/completions", Chat(extra=_rest)),
        Endpoint("/responses", Responses()),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/audio/transcriptions", Transcription()),
        Endpoint("/audio/translations", Transcription()),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}/content", batch, "GET", batch="results"),
    ),
)
