"""OpenRouter, which says in ``usage.cost`` what it charged; with a key of your own, the upstream's cost is the true one."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.values import Json, Values, as_dict
from spectra_otel.providers.wire.batch import RouterBatch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings, cents, put_provider_cost
from spectra_otel.providers.wire.media import Images, Rerank, Speech, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.video import Videos


def _cost(body: Json, values: Values) -> None:
    usage = as_dict(body.get("usage") or as_dict(body.get("response")).get("usage"))
    own_key = usage.get("is_byok") and as_dict(usage.get("cost_details")).get("upstream_inference_cost")
    put_provider_cost(values, cents(own_key or usage.get("cost")))


videos, batch = Videos(), RouterBatch()

PROVIDER = Provider(
    name="openrouter",
    hosts=("openrouter.ai",),
    endpoints=(
        Endpoint("/chat/completions", Chat(extra=_cost)),
        Endpoint("/completions", Completions(extra=_cost)),
        Endpoint("/responses", Responses(extra=_cost)),
        Endpoint("/messages", Messages()),
        Endpoint("/embeddings", Embeddings(extra=_cost)),
        Endpoint("/images", Images(_cost)),
        Endpoint("/rerank", Rerank()),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/audio/transcriptions", Transcription()),
        Endpoint("/videos", videos),
        Endpoint("/videos/{job}", videos, "GET", completes=True),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
    ),
)
