"""Whose a call was, by the names that libraries write for one provider."""

from __future__ import annotations

import pytest

from spectra_otel.dialects._providers import from_name

WRITTEN = {
    "openai": "openai openai.chat openai.responses openai.embedding openai_llm text-completion-openai OpenAI",
    "azure": "azure azure.responses azure.deepseek azure_openai azure_openai_llm az.ai.inference "
    "azure.ai.openai azure_ai AzureOpenAI",
    "anthropic": "anthropic.messages Anthropic_LLM anthropic-aws.messages anthropic_text",
    "google": "google.generative-ai google.generative-ai.interactions gcp.gen_ai google_genai google-gla GoogleGenAI gemini",
    "vertex": "googleVertex.anthropic.messages google.vertex.chat google.vertex.image vertex.maas vertex.anthropic.messages "
    "vertex_ai vertex_ai_beta google_vertexai google_anthropic_vertex gcp.vertex_ai googleVertex.chat",
    "bedrock": "amazon-bedrock bedrock.anthropic.messages bedrock-mantle.responses bedrock_converse Bedrock_Converse_LLM "
    "aws.bedrock openai-mantle anthropic-mantle",
    "mistral": "mistral.chat MistralAI_LLM mistral_ai codestral",
    "xai": "xai.responses x_ai x-ai.chat",
    "together": "togetherai.chat together_ai",
    "fireworks": "fireworks.chat fireworks_ai",
    "vercel-gateway": "gateway gateway.embedding vercel_ai_gateway",
    "cohere": "cohere.textEmbedding cohere_chat",
    "huggingface": "huggingface.responses hugging_face",
    "moonshotai": "moonshotai.chat moonshot",
    "openai_compatible": "openai-compatible OpenAILike custom_openai",
    "acme.unheard": "acme.unheard",
}


@pytest.mark.parametrize(("name", "provider"), [(name, to) for to, names in WRITTEN.items() for name in names.split()])
def test_a_provider_goes_by_many_names(name: str, provider: str) -> None:
    """Vercel's SDK, LiteLLM, LangChain, LlamaIndex and the conventions each have names of their own for one provider."""
    assert from_name(name) == provider


@pytest.mark.parametrize("name", ["langchain", "gcp.vertex.agent", "microsoft.agent_framework", "", None])
def test_a_library_is_no_provider(name: str | None) -> None:
    """The name of what called says nothing of who answered."""
    assert from_name(name) is None
