"""Google's Gemini API. Counting tokens, files, caches and batches are skipped: they are not billed by the call."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Embeddings
from spectra_otel.providers.wire.gemini import Embed, Generate, Interactions, Predict
from spectra_otel.providers.wire.video import PredictVideos

generate, embed, interactions, videos = Generate(), Embed(), Interactions(), PredictVideos()
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
        Endpoint("/models/{model}:predictLongRunning", videos),
        Endpoint("/models/{model}/operations/{job}", videos, "GET", completes=True),
        Endpoint("/interactions", interactions),
        Endpoint("/interactions/{job}", interactions, "GET", completes=True),
        Endpoint("/openai/chat/completions", Chat(thoughts_hidden=True)),
        Endpoint("/openai/embeddings", Embeddings()),
    ),
)
