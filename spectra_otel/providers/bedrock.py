"""Amazon Bedrock: Converse, InvokeModel in each maker's own format, and the endpoints that speak OpenAI's or Anthropic's.

Token counting is free, and guardrails on their own are no model's answer. boto3 names regions in the host; a private link has
a host of its own (``SPECTRA_PROVIDER_HOSTS=…=bedrock``).
"""

from spectra_otel.providers.base import Endpoint, Provider
from spectra_otel.providers.wire.async_invoke import AsyncInvoke
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.converse import Converse
from spectra_otel.providers.wire.invoke import Invoke
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses

chat, responses, messages, converse, invoke = Chat(), Responses(), Messages(), Converse(), Invoke()
async_invoke = AsyncInvoke()

PROVIDER = Provider(
    name="bedrock",
    hosts=(
        "bedrock-runtime.{region}.amazonaws.com", "bedrock-runtime-fips.{region}.amazonaws.com",
        "bedrock-runtime.{region}.amazonaws.com.cn", "bedrock-runtime.{region}.api.aws",
        "bedrock-mantle.{region}.api.aws", "{endpoint}.bedrock-runtime.{region}.vpce.amazonaws.com",
    ),
    endpoints=(
        Endpoint("/model/{model}/converse", converse),
        Endpoint("/model/{model}/converse-stream", converse),
        Endpoint("/model/{model}/invoke", invoke),
        Endpoint("/model/{model}/invoke-with-response-stream", invoke),
        Endpoint("/async-invoke", async_invoke),
        Endpoint("/async-invoke/{job}", async_invoke, "GET", completes=True),
        Endpoint("/v1/chat/completions", chat),
        Endpoint("/v1/responses", responses),
        Endpoint("/v1/messages", messages),
    ),
)  # fmt: skip
