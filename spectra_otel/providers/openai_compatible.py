"""Hosts that nobody named but that speak a known format. Whose prices hold is not known, so nothing of it is priced.

``SPECTRA_PROVIDER_HOSTS=llm.example.com=openai`` says whose they are. A provider of the configuration that says no more than its
hosts has this table, too; there also jobs and batches are followed, and bodies of any shape are read.
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.gemini import Generate
from spectra_otel.providers.wire.media import Images, Moderation, Ocr, Rerank, Speech, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.video import Videos

responses, videos, batch, transcription = Responses(), Videos(), Batch(), Transcription()

PROVIDER = Provider(
    name="openai_compatible",
    hosts=(),
    endpoints=(
        Endpoint("/chat/completions", Chat()),
        Endpoint("/completions", Completions()),
        Endpoint("/responses", responses),
        Endpoint("/responses/{job}", responses, "GET", completes=True),
        Endpoint("/embeddings", Embeddings()),
        Endpoint("/v1/messages", Messages()),
        Endpoint("/models/{model}:generateContent", Generate()),
        Endpoint("/models/{model}:streamGenerateContent", Generate()),
        Endpoint("/images/generations", Images()),
        Endpoint("/images/edits", Images()),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/audio/transcriptions", transcription),
        Endpoint("/audio/translations", transcription),
        Endpoint("/rerank", Rerank()),
        Endpoint("/moderations", Moderation(is_free=False)),
        Endpoint("/ocr", Ocr()),
        Endpoint("/videos", videos),
        Endpoint("/videos/{job}", videos, "GET", completes=True),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}/content", batch, "GET", batch="results"),
    ),
)
