"""Azure OpenAI and Azure AI Foundry. The deployment's name is no model's name: the answer has the true one.

Grok reports more cached tokens than it read here. Streams are not asked for usage here: older API versions refuse to be asked.
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.batch import Batch
from spectra_otel.providers.wire.chat import Chat, Completions, Embeddings
from spectra_otel.providers.wire.cohere import CohereEmbed, CohereRerank
from spectra_otel.providers.wire.media import Images, Ocr, Speech, Transcription
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses
from spectra_otel.providers.wire.video import VideoJobs, Videos

chat, embeddings, responses = Chat(cached_doubtful=True), Embeddings(), Responses()
images, transcription, videos, video_jobs, batch = Images(), Transcription(), Videos(), VideoJobs(), Batch()

PROVIDER = Provider(
    name="azure",
    hosts=(
        "{resource}.openai.azure.com", "{resource}.services.ai.azure.com", "{resource}.cognitiveservices.azure.com",
        "{resource}.inference.ai.azure.com", "{resource}.{region}.models.ai.azure.com",
        "{resource}.{region}.inference.ai.azure.com", "models.inference.ai.azure.com", "models.github.ai",
    ),
    budget_block="429",
    endpoints=(
        Endpoint("/deployments/{model}/chat/completions", chat),
        Endpoint("/deployments/{model}/completions", Completions()),
        Endpoint("/deployments/{model}/embeddings", embeddings),
        Endpoint("/deployments/{model}/images/generations", images),
        Endpoint("/deployments/{model}/images/edits", images),
        Endpoint("/deployments/{model}/audio/speech", Speech()),
        Endpoint("/deployments/{model}/audio/transcriptions", transcription),
        Endpoint("/deployments/{model}/audio/translations", transcription),
        Endpoint("/chat/completions", chat),
        Endpoint("/completions", Completions()),
        Endpoint("/embeddings", embeddings),
        Endpoint("/images/embeddings", embeddings),
        Endpoint("/images/generations", images),
        Endpoint("/images/edits", images),
        Endpoint("/audio/speech", Speech()),
        Endpoint("/audio/transcriptions", transcription),
        Endpoint("/audio/translations", transcription),
        Endpoint("/providers/blackforestlabs/v1/{model}", images),
        Endpoint("/video/generations/jobs", video_jobs),
        Endpoint("/video/generations/jobs/{job}", video_jobs, "GET", completes=True),
        Endpoint("/videos", videos),
        Endpoint("/videos/{video}/remix", videos),
        Endpoint("/videos/{job}", videos, "GET", completes=True),
        Endpoint("/responses", responses),
        Endpoint("/responses/compact", responses),
        Endpoint("/responses/{job}", responses, "GET", completes=True),
        Endpoint("/responses/{job}/cancel", responses, completes=True),
        Endpoint("/providers/cohere/v2/embed", CohereEmbed()),
        Endpoint("/v2/rerank", CohereRerank()),
        Endpoint("/anthropic/v1/messages", Messages()),
        Endpoint("/providers/mistral/azure/ocr", Ocr()),
        Endpoint("/batches", batch, batch="start"),
        Endpoint("/batches/{job}", batch, "GET", batch="look"),
        Endpoint("/files/{job}/content", batch, "GET", batch="results"),
    ),
)  # fmt: skip
