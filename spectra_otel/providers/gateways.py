"""Providers that speak OpenAI's format without an accent, or nearly: a host, and which of its endpoints they have."""

from spectra_otel.providers.base import Endpoint, Json, Provider, Values, as_dict
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings, cents, put_provider_cost
from spectra_otel.providers.wire.media import Images, Rerank, Speech, Transcription
from spectra_otel.providers.wire.responses import Responses


def _perplexity_cost(body: Json, values: Values) -> None:
    cost = as_dict(as_dict(body.get("usage")).get("cost"))
    put_provider_cost(values, cents(cost.get("total_cost")))


def _vercel_cost(body: Json, values: Values) -> None:
    holders = [body, *(as_dict(c).get(part) for c in body.get("choices") or () for part in ("message", "delta"))]
    for holder in map(as_dict, holders):
        gateway = as_dict(as_dict(holder.get("provider_metadata")).get("gateway"))
        put_provider_cost(values, cents(gateway.get("cost")))


CHAT = Endpoint("/chat/completions", Chat())
TEXT = Endpoint("/completions", Completions())
VECTORS = Endpoint("/embeddings", Embeddings())
RESPONSES = Endpoint("/responses", Responses())
RERANK = Endpoint("/rerank", Rerank())
MULTI = Endpoint("/multimodalembeddings", Embeddings())
CONTEXT = Endpoint("/contextualizedembeddings", Embeddings())
IMAGES = Endpoint("/images/generations", Images())
SPEECH = Endpoint("/audio/speech", Speech())
HEARD = Endpoint("/audio/transcriptions", Transcription())

PROVIDERS = (
    Provider("together", ("api.together.xyz", "api.together.ai"), (CHAT, TEXT, VECTORS, RERANK, IMAGES, SPEECH, HEARD)),
    Provider(
        "fireworks",
        ("api.fireworks.ai", "audio-{kind}.us-virginia-1.direct.fireworks.ai"),
        (CHAT, TEXT, VECTORS, RESPONSES, RERANK, HEARD),
    ),
    Provider("cerebras", ("api.cerebras.ai",), (CHAT, TEXT), budget_block="429"),
    Provider("scaleway", ("api.scaleway.ai",), (CHAT, TEXT, VECTORS, RESPONSES, RERANK, HEARD)),
    Provider(
        "huggingface", ("router.huggingface.co", "api-inference.huggingface.co"), (CHAT, TEXT, VECTORS, RESPONSES)
    ),
    Provider("zai", ("api.z.ai", "open.bigmodel.cn"), (CHAT, VECTORS, IMAGES, HEARD)),
    Provider("voyage", ("api.voyageai.com",), (VECTORS, MULTI, CONTEXT, RERANK)),
    Provider(
        "perplexity",
        ("api.perplexity.ai",),
        (
            Endpoint("/chat/completions", Chat(extra=_perplexity_cost)),
            Endpoint("/embeddings", Embeddings(extra=_perplexity_cost)),
        ),
    ),
    Provider(
        "vercel-gateway",
        ("ai-gateway.vercel.sh",),
        (Endpoint("/chat/completions", Chat(extra=_vercel_cost)), VECTORS, RESPONSES),
    ),
    Provider("writer", ("api.writer.com",), (Endpoint("/chat", Chat()), TEXT)),
)
