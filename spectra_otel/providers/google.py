"""Google's Gemini API. Counting tokens, files and caches are skipped: they are not billed by the call."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.batch import GeminiBatch
from spectra_otel.providers.wire.chat import Chat, Embeddings
from spectra_otel.providers.wire.gemini import Embed, Generate, GenerateImages, Predict
from spectra_otel.providers.wire.interactions import Interactions
from spectra_otel.providers.wire.media import Images
from spectra_otel.providers.wire.video import PredictVideos

generate, embed, interactions, videos, batch = Generate(), Embed(), Interactions(), PredictVideos(), GeminiBatch()
TIERS = {"on_demand": "standard", "on_demand_flex": "flex", "on_demand_priority": "priority", "default": "standard"}

PROVIDER = Provider(
    name="google",
    hosts=("generativelanguage.googleapis.com",),
    tiers=TIERS,
    endpoints=(
        Endpoint("/models/{model}:generateContent", generate),
        Endpoint("/models/{model}:streamGenerateContent", generate),
        Endpoint("/tunedModels/{model}:generateContent", generate),
        Endpoint("/tunedModels/{model}:streamGenerateContent", generate),
        Endpoint("/models/{model}:embedContent", embed),
        Endpoint("/models/{model}:batchEmbedContents", embed),
        Endpoint("/models/{model}:predict", Predict()),
        Endpoint("/models/{model}:generateImages", GenerateImages()),
        Endpoint("/models/{model}:predictLongRunning", videos),
        Endpoint("/models/{model}/operations/{job}", videos, "GET", completes=True),
        Endpoint("/models/{model}:fetchPredictOperation", videos, completes=True),
        Endpoint("/interactions", interactions),
        Endpoint("/interactions/{job}", interactions, "GET", completes=True),
        Endpoint("/decisions", interactions),
        Endpoint("/models/{model}:batchGenerateContent", batch, batch="start"),
        Endpoint("/models/{model}:asyncBatchEmbedContent", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}:download", batch, "GET", batch="results"),
        Endpoint("/openai/chat/completions", Chat(thoughts_hidden=True)),
        Endpoint("/openai/embeddings", Embeddings()),
        Endpoint("/openai/images/generations", Images()),
    ),
)
