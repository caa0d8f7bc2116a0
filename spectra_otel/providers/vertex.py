"""Google Vertex AI: Gemini, and other makers' models behind ``rawPredict`` in their own format.

Batches are skipped: their results go to a bucket or a table, not through a client.
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.google import TIERS
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.gemini import Embed, Generate, Predict
from spectra_otel.providers.wire.interactions import Interactions
from spectra_otel.providers.wire.media import Ocr
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.video import PredictVideos

generate, messages, videos, interactions = Generate(), Messages(), PredictVideos(), Interactions()

PROVIDER = Provider(
    name="vertex",
    hosts=("aiplatform.googleapis.com", "{region}-aiplatform.googleapis.com", "aiplatform.{region}.rep.googleapis.com"),
    tiers=TIERS,
    skips=("/models/count-tokens:rawPredict",),
    prices_by_region=True,
    endpoints=(
        Endpoint("/models/{model}:generateContent", generate),
        Endpoint("/models/{model}:streamGenerateContent", generate),
        Endpoint("/models/{model}:embedContent", Embed()),
        Endpoint("/publishers/google/models/{model}:predict", Predict()),
        Endpoint("/publishers/anthropic/models/{model}:rawPredict", messages),
        Endpoint("/publishers/anthropic/models/{model}:streamRawPredict", messages),
        Endpoint("/publishers/mistralai/models/mistral-ocr-{release}:rawPredict", Ocr()),
        Endpoint("/publishers/{publisher}/models/{model}:rawPredict", Chat()),
        Endpoint("/publishers/{publisher}/models/{model}:streamRawPredict", Chat()),
        Endpoint("/models/{model}:predictLongRunning", videos),
        Endpoint("/models/{model}:fetchPredictOperation", videos, completes=True),
        Endpoint("/interactions", interactions),
        Endpoint("/interactions/{job}", interactions, "GET", completes=True),
        Endpoint("/endpoints/{endpoint}:generateContent", generate),
        Endpoint("/endpoints/{endpoint}:streamGenerateContent", generate),
        Endpoint("/endpoints/{endpoint}/chat/completions", Chat(thoughts_hidden=True)),
    ),
)
