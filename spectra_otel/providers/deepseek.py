"""DeepSeek."""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.chat import Chat, Completions
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

PROVIDER = Provider(
    name="deepseek",
    hosts=("api.deepseek.com",),
    endpoints=(
        Endpoint("/chat/completions", Chat()),
        Endpoint("/completions", Completions()),
        Endpoint("/responses", Responses()),
        Endpoint("/anthropic/v1/messages", Messages()),
    ),
)
