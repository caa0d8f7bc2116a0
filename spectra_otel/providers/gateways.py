"""Providers that speak OpenAI's format without an accent, or nearly: a host, and which of its endpoints they have."""

from collections.abc import Mapping

from spectra_otel.providers import fal, replicate
from spectra_otel.providers.base import Endpoint, Provider, Sent
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_text
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings, cents, put_provider_cost
from spectra_otel.providers.wire.deferred import DeferredChat
from spectra_otel.providers.wire.media import Images, Rerank, Speech, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.video import Videos


class ZaiResult(DeferredChat):
    """Z.ai's ``/async-result/{id}``: of a video or of a chat, whichever the job was."""

    def read_response(self, body: Json, values: Values) -> None:
        videos = as_list(body.get("video_result"))
        if not videos:
            super().read_response(body, values)
            return
        put_text(values, "finish_reason", body.get("task_status"))
        values["video_count"] = len(videos)


class ZaiVideos(ZaiResult):
    """``/videos/generations`` of Z.ai."""

    operation = "generate_content"
    model_type = "video"

    def read_request(self, sent: Sent) -> Values:
        return Videos().read_request(sent)


class Workflow(Images):
    """Fireworks' ``/workflows/…/text_to_image``: the picture itself, or JSON with it in base64."""

    def read_request(self, sent: Sent) -> Values:
        return {
            **super().read_request(sent),
            "model": f"accounts/{sent.places.get('account')}/models/{sent.places.get('model')}",
        }

    def read_headers(self, headers: Mapping[str, str], values: Values) -> None:
        if headers.get("content-type", "").startswith("image/"):
            values["image_count"] = 1

    def read_response(self, body: Json, values: Values) -> None:
        super().read_response(body, values)
        put_count(values, "image_count", len(as_list(body.get("base64"))) or None)


def _perplexity_cost(body: Json, values: Values) -> None:
    """Its own figure; and deep research's searches, and the tokens it read in sources, which are in no other count."""
    usage = as_dict(body.get("usage"))
    put_provider_cost(values, cents(as_dict(usage.get("cost")).get("total_cost")))
    if usage.get("citation_tokens"):
        counts: Values = {}
        put_count(counts, "web_search", usage.get("num_search_queries"))
        put_count(counts, "citation_tokens", usage.get("citation_tokens"))
        values["tool_call_counts"] = counts


def _vercel_cost(body: Json, values: Values) -> None:
    holders = [body, *(as_dict(c).get(part) for c in as_list(body.get("choices")) for part in ("message", "delta"))]
    for holder in map(as_dict, holders):
        for name in ("provider_metadata", "providerMetadata"):
            gateway = as_dict(as_dict(holder.get(name)).get("gateway"))
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
TRANSLATED = Endpoint("/audio/translations", Transcription())
VIDEOS = (Endpoint("/videos", Videos()), Endpoint("/videos/{job}", Videos(), "GET", completes=True))
batch = Batch()
BATCHES = (
    Endpoint("/batches", batch, batch="start"),
    Endpoint("/batches/{job}", batch, "GET", batch="look"),
    Endpoint("/files/{job}/content", batch, "GET", batch="results"),
)
MESSAGES = Endpoint("/v1/messages", Messages())
sonar = Chat(reasoning_beside=True, extra=_perplexity_cost)
later_sonar = DeferredChat(reasoning_beside=True, extra=_perplexity_cost)

PROVIDERS = (
    Provider(
        "together",
        ("api.together.xyz", "api.together.ai"),
        (CHAT, TEXT, VECTORS, RERANK, IMAGES, SPEECH, HEARD, TRANSLATED, *VIDEOS, *BATCHES),
    ),
    Provider(
        "fireworks",
        ("api.fireworks.ai", "audio-{kind}.us-virginia-1.direct.fireworks.ai"),
        (
            CHAT,
            TEXT,
            VECTORS,
            RESPONSES,
            RERANK,
            HEARD,
            Endpoint("/workflows/accounts/{account}/models/{model}/text_to_image", Workflow()),
        ),
    ),
    Provider("cerebras", ("api.cerebras.ai",), (CHAT, TEXT), budget_block="429"),
    Provider("scaleway", ("api.scaleway.ai",), (CHAT, TEXT, VECTORS, RESPONSES, RERANK, HEARD)),
    Provider(
        "huggingface",
        ("router.huggingface.co", "api-inference.huggingface.co"),
        (
            CHAT,
            TEXT,
            VECTORS,
            RESPONSES,
            IMAGES,
            Endpoint("/models/{owner}/{name}/predictions", replicate.predictions),
            Endpoint("/fal-ai/{model...}", fal.Run()),
        ),
    ),
    Provider(
        "zai",
        ("api.z.ai", "open.bigmodel.cn"),
        (
            Endpoint("/async/chat/completions", DeferredChat()),
            CHAT,
            VECTORS,
            IMAGES,
            HEARD,
            RERANK,
            Endpoint("/videos/generations", ZaiVideos()),
            Endpoint("/async-result/{job}", ZaiResult(), "GET", completes=True),
        ),
    ),
    Provider("voyage", ("api.voyageai.com",), (VECTORS, MULTI, CONTEXT, RERANK, *BATCHES)),
    Provider(
        "perplexity",
        ("api.perplexity.ai",),
        (
            Endpoint("/async/chat/completions", later_sonar),
            Endpoint("/async/chat/completions/{job}", later_sonar, "GET", completes=True),
            Endpoint("/async/sonar", later_sonar),
            Endpoint("/async/sonar/{job}", later_sonar, "GET", completes=True),
            Endpoint("/chat/completions", sonar),
            Endpoint("/v1/sonar", sonar),
            Endpoint("/responses", Responses(extra=_perplexity_cost)),
            Endpoint("/embeddings", Embeddings(extra=_perplexity_cost)),
        ),
    ),
    Provider(
        "vercel-gateway",
        ("ai-gateway.vercel.sh",),
        (
            Endpoint("/chat/completions", Chat(extra=_vercel_cost)),
            Endpoint("/embeddings", Embeddings(extra=_vercel_cost)),
            Endpoint("/responses", Responses(extra=_vercel_cost)),
            MESSAGES,
            RERANK,
            Endpoint("/images/generations", Images(_vercel_cost)),
        ),
    ),
    Provider("writer", ("api.writer.com",), (Endpoint("/chat", Chat()), TEXT)),
)
