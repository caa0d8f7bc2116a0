"""Groq. Older streams have their usage in ``x_groq`` of the last chunk, without asking."""

from spectra_otel.providers.base import Endpoint, Json, Provider, Values, as_dict
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Embeddings, read_usage
from spectra_otel.providers.wire.media import Speech, Transcription
from spectra_otel.providers.wire.responses import Responses


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
        Endpoint("/chat/completions", Chat(extra=_usage_of_old)),
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
