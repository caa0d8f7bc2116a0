"""Amazon Bedrock where it speaks OpenAI's formats. Converse and InvokeModel, framed in another way, are not read yet."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.responses import Responses

PROVIDER = Provider(
    name="bedrock",
    hosts=("bedrock-mantle.{region}.api.aws", "bedrock-runtime.{region}.amazonaws.com"),
    endpoints=(
        Endpoint("/openai/v1/chat/completions", Chat()),
        Endpoint("/openai/v1/responses", Responses()),
        Endpoint("/v1/chat/completions", Chat()),
        Endpoint("/v1/responses", Responses()),
    ),
)
