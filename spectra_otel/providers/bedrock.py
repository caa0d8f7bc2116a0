"""Amazon Bedrock: Converse, InvokeModel in each maker's own format, and the endpoints that speak OpenAI's or Anthropic's.

Token counting is free, and guardrails on their own are no model's answer. boto3 names regions in the host; a private link has
a host of its own (``SPECTRA_PROVIDER_HOSTS=…=bedrock``).
"""

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent
from spectra_otel.providers.values import Values, as_dict, as_list
from spectra_otel.providers.wire.async_invoke import AsyncInvoke
from spectra_otel.providers.wire.chat import Chat
from spectra_otel.providers.wire.converse import Converse
from spectra_otel.providers.wire.invoke import DOCUMENTS_PER_SEARCH, Invoke
from spectra_otel.providers.wire.messages import Messages
from spectra_otel.providers.wire.responses import Responses


class AgentRerank(Format):
    """``/rerank`` of the agents' runtime: billed by query, with so many documents each."""

    operation = "rerank"
    model_type = "rerank"

    def read_request(self, sent: Sent) -> Values:
        asked = as_dict(as_dict(sent.body.get("rerankingConfiguration")).get("bedrockRerankingConfiguration"))
        model = str(as_dict(asked.get("modelConfiguration")).get("modelArn") or "").rpartition("/")[2]
        searches = -(-len(as_list(sent.body.get("sources"))) // DOCUMENTS_PER_SEARCH)
        queries = len(as_list(sent.body.get("queries"))) or 1
        return {
            "model": model or None,
            "is_streaming": False,
            "has_tool_calls": False,
            "search_units": searches * queries or None,
        }


chat, responses, messages, converse, invoke = Chat(), Responses(), Messages(), Converse(), Invoke()
async_invoke = AsyncInvoke()

PROVIDER = Provider(
    name="bedrock",
    hosts=(
        "bedrock-runtime.{region}.amazonaws.com", "bedrock-runtime-fips.{region}.amazonaws.com",
        "bedrock-runtime.{region}.amazonaws.com.cn", "bedrock-runtime.{region}.api.aws",
        "bedrock-mantle.{region}.api.aws", "bedrock-agent-runtime.{region}.amazonaws.com",
        "{endpoint}.bedrock-runtime.{region}.vpce.amazonaws.com",
    ),
    endpoints=(
        Endpoint("/model/{model}/converse", converse),
        Endpoint("/model/{model}/converse-stream", converse),
        Endpoint("/model/{model}/invoke", invoke),
        Endpoint("/model/{model}/invoke-with-response-stream", invoke),
        Endpoint("/rerank", AgentRerank()),
        Endpoint("/async-invoke", async_invoke),
        Endpoint("/async-invoke/{job}", async_invoke, "GET", completes=True),
        Endpoint("/v1/chat/completions", chat),
        Endpoint("/v1/responses", responses),
        Endpoint("/v1/messages", messages),
    ),
)  # fmt: skip
