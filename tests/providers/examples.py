"""One call in each wire format: what is asked, what is answered, and the record fields that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spectra_otel.providers import bedrock, deepgram, elevenlabs, fal, gateways, ollama, openai, replicate
from spectra_otel.providers.base import Format
from spectra_otel.providers.wire import (
    async_invoke,
    chat,
    cohere,
    complete,
    conversations,
    converse,
    deferred,
    gemini,
    interactions,
    invoke,
    media,
    messages,
    responses,
    threads,
    video,
)

JOB = "job1"


@dataclass(frozen=True)
class Example:
    """``pending`` is the answer of a call that is a job, ``done`` that of a later look at it; its fields are ``want``, too."""

    ask: dict[str, Any]
    answer: Any
    want: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    asks_after: dict[str, Any] | None = None


OPENAI_USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
TOKENS = {"prompt_tokens": 12, "completion_tokens": 3}
IN_OUT = {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}
COMPLETION = {
    "id": "c1",
    "model": "m-1",
    "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
    "usage": OPENAI_USAGE,
}
RESPONSE = {"id": JOB, "object": "response", "model": "m-1", "status": "completed", "output": [], "usage": IN_OUT}
QUEUED = {**RESPONSE, "status": "queued", "usage": None}
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
    "modelVersion": "m-1",
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
}
INTERACTION = {
    "id": JOB,
    "status": "completed",
    "steps": [],
    "usage": {"total_input_tokens": 12, "total_output_tokens": 2, "total_thought_tokens": 1},
}
RUN = {"id": JOB, "object": "thread.run", "model": "m-1", "status": "completed", "usage": OPENAI_USAGE}
VIDEO = {"id": JOB, "model": "m-1", "status": "completed", "seconds": "4", "size": "1280x720"}
ONE_VIDEO = {"video_count": 1, "duration_seconds": 4.0, "model_type": "video"}
VEO = {
    "name": f"models/m/operations/{JOB}",
    "done": True,
    "response": {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": "u"}}]}},
}
BILLED = {"billed_units": {"input_tokens": 12, "output_tokens": 3}, "tokens": {"input_tokens": 70, "output_tokens": 3}}
ARN = {"invocationArn": JOB, "modelArn": "a"}
PREDICTION = {"id": JOB, "model": "o/n", "status": "succeeded", "output": ["u"], "metrics": {"predict_time": 1.5}}
DUB = {"dubbing_id": JOB, "status": "dubbed", "media_metadata": {"duration": 9.5}}
AUDIO = b"\xff\xfb\x00"
MP3 = {"content-type": "audio/mpeg"}

_CHAT = Example({"model": "m", "messages": []}, COMPLETION, TOKENS)
EXAMPLES: dict[type[Format], Example] = {
    chat.Chat: _CHAT,
    openai.SearchingChat: _CHAT,
    chat.Completions: Example({"model": "m", "prompt": "x"}, COMPLETION, TOKENS),
    chat.Embeddings: Example(
        {"model": "m", "input": "x"},
        {"data": [], "model": "m-1", "usage": {"total_tokens": 12}},
        {"prompt_tokens": 12, "model_type": "embedding"},
    ),
    deferred.DeferredChat: Example(_CHAT.ask, COMPLETION, TOKENS, pending={"request_id": JOB}, done=COMPLETION),
    responses.Responses: Example({"model": "m", "input": "x"}, RESPONSE, TOKENS, pending=QUEUED, done=RESPONSE),
    threads.Runs: Example(
        {"assistant_id": "a"}, RUN, TOKENS, pending={**RUN, "status": "queued", "usage": None}, done=RUN
    ),
    messages.Messages: Example(
        {"model": "m", "messages": []},
        {
            "id": "m1",
            "type": "message",
            "model": "m-1",
            "stop_reason": "end_turn",
            "content": [],
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 3},
        },
        {**TOKENS, "cached_tokens": 2},
    ),
    complete.Complete: Example(
        {"model": "m", "prompt": "x"},
        {"completion": "x", "stop_reason": "stop_sequence"},
        {"finish_reason": "stop_sequence"},
    ),
    conversations.Conversations: Example(
        {"model": "m", "inputs": "x"},
        {
            "object": "conversation.response",
            "conversation_id": "conv",
            "outputs": [{"type": "message.output", "id": "e", "model": "m-1"}],
            "usage": {
                "prompt_tokens": 8,
                "connector_tokens": 4,
                "completion_tokens": 3,
                "total_tokens": 15,
                "connectors": {"web_search": 1},
            },
        },
        {**TOKENS, "conversation_id": "conv", "snapshot": "m-1", "tool_call_counts": {"web_search": 1}},
    ),
    converse.Converse: Example(
        {}, {"output": {}, "stopReason": "end_turn", "usage": {"inputTokens": 12, "outputTokens": 3}}, TOKENS
    ),
    gateways.Workflow: Example(
        {"prompt": "x"},
        {"base64": ["aGk="], "finishReason": "SUCCESS", "seed": 1},
        {"image_count": 1, "model_type": "image"},
    ),
    bedrock.AgentRerank: Example(
        {
            "queries": [{}],
            "sources": [{}] * 101,
            "rerankingConfiguration": {
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {
                        "modelArn": "arn:aws:bedrock:us-west-2::foundation-model/cohere.rerank-v3-5:0"
                    }
                }
            },
        },
        {"results": [{"index": 0, "relevanceScore": 0.9}]},
        {"search_units": 2, "model": "cohere.rerank-v3-5:0", "model_type": "rerank"},
    ),
    invoke.Invoke: Example({}, {"id": "i", "choices": [], "usage": OPENAI_USAGE}, TOKENS),
    async_invoke.AsyncInvoke: Example(
        {
            "modelId": "amazon.nova-reel-v1:1",
            "modelInput": {"videoGenerationConfig": {"durationSeconds": 4, "dimension": "1280x720"}},
        },
        {**ARN, "status": "Completed"},
        {**ONE_VIDEO, "model": "amazon.nova-reel-v1:1", "video_resolution": "1280x720"},
        pending=ARN,
        done={**ARN, "status": "Completed"},
    ),
    gemini.Generate: Example({"contents": []}, GEMINI, {**TOKENS, "reasoning_tokens": 1, "snapshot": "m-1"}),
    gemini.Embed: Example(
        {"content": {}}, {"embedding": {}, "usageMetadata": {"promptTokenCount": 12}}, {"prompt_tokens": 12}
    ),
    gemini.Predict: Example(
        {"instances": []},
        {"predictions": [{"embeddings": {"statistics": {"token_count": 12}}}]},
        {"prompt_tokens": 12, "model_type": "embedding"},
    ),
    gemini.GenerateImages: Example(
        {"prompt": "x"}, {"generatedImages": [{}, {}]}, {"image_count": 2, "model_type": "image"}
    ),
    interactions.Interactions: Example(
        {"model": "m", "input": "x"},
        INTERACTION,
        {**TOKENS, "reasoning_tokens": 1},
        pending={"id": JOB, "status": "in_progress"},
        done=INTERACTION,
    ),
    video.Videos: Example(
        {"model": "m", "prompt": "x", "seconds": "4"},
        VIDEO,
        ONE_VIDEO,
        pending={**VIDEO, "status": "queued"},
        done=VIDEO,
    ),
    video.VideoJobs: Example(
        {"model": "m", "n_seconds": 2, "n_variants": 2, "width": 480, "height": 480},
        {"id": JOB, "status": "succeeded", "generations": [{}, {}]},
        {"video_count": 2, "duration_seconds": 4.0, "video_resolution": "480x480"},
        pending={"id": JOB, "status": "preprocessing"},
        done={"id": JOB, "status": "succeeded", "generations": [{}, {}]},
    ),
    video.PredictVideos: Example(
        {"parameters": {"durationSeconds": 4}},
        VEO,
        ONE_VIDEO,
        pending={"name": f"x/operations/{JOB}"},
        done=VEO,
        asks_after={"operationName": f"x/operations/{JOB}"},
    ),
    media.Images: Example(
        {"model": "m", "prompt": "x", "size": "512x512"},
        {"data": [{"url": "u"}, {"url": "v"}]},
        {"image_count": 2, "image_size": "512x512", "model_type": "image"},
    ),
    media.Speech: Example(
        {"model": "m", "input": "héllo", "text": "héllo"}, AUDIO, {"input_characters": 5, "model_type": "tts"}, MP3
    ),
    media.Transcription: Example(
        {"model": "m"}, {"text": "x", "duration": 9.5}, {"duration_seconds": 9.5, "model_type": "stt"}
    ),
    media.Rerank: Example(
        {"model": "m", "query": "q", "documents": []},
        {"results": [], "usage": {"total_tokens": 12}},
        {"prompt_tokens": 12, "model_type": "rerank"},
    ),
    media.Moderation: Example(
        {"model": "m", "input": "x"},
        {"id": "m1", "model": "m-1", "results": [], "usage": OPENAI_USAGE},
        {"response_id": "m1", "model_type": "moderation"},
    ),
    media.Ocr: Example({"model": "m"}, {"pages": [{}, {}]}, {"pages": 2, "model_type": "ocr"}),
    cohere.CohereChat: Example({"model": "m"}, {"id": "c", "finish_reason": "COMPLETE", "usage": BILLED}, TOKENS),
    cohere.CohereEmbed: Example(
        {"model": "m"}, {"id": "c", "meta": {"billed_units": {"input_tokens": 12}}}, {"prompt_tokens": 12}
    ),
    cohere.CohereRerank: Example(
        {"model": "m"},
        {"id": "c", "results": [], "meta": {"billed_units": {"search_units": 2}}},
        {"search_units": 2, "model_type": "rerank"},
    ),
    deepgram.Listen: Example(
        {"url": "u"}, {"metadata": {"request_id": "r", "duration": 9.5}}, {"duration_seconds": 9.5}
    ),
    deepgram.Speak: Example({"text": "héllo"}, AUDIO, {"input_characters": 5, "model_type": "tts"}, MP3),
    deepgram.Read: Example(
        {"text": "x"},
        {
            "metadata": {
                "request_id": "r",
                "summary_info": {"input_tokens": 8, "output_tokens": 2},
                "topics_info": {"input_tokens": 4, "output_tokens": 1},
            }
        },
        TOKENS,
    ),
    elevenlabs.Speak: Example({"text": "héllo"}, AUDIO, {"input_characters": 5, "model_type": "tts"}, MP3),
    elevenlabs.Sound: Example({"music_length_ms": 9500}, AUDIO, {"duration_seconds": 9.5, "model_type": "tts"}, MP3),
    elevenlabs.Transcribe: Example(
        {"model_id": "m"},
        {"words": [{"end": 2.0}, {"end": 9.5}], "text": "x"},
        {"duration_seconds": 9.5},
        pending={"transcription_id": JOB, "request_id": "r", "message": "ok"},
        done={"transcription_id": JOB, "text": "x", "audio_duration_secs": 9.5},
    ),
    elevenlabs.Job: Example(
        {"model_id": "m", "text": "x"},
        DUB,
        {"finish_reason": "dubbed", "duration_seconds": 9.5},
        pending={"dubbing_id": JOB, "expected_duration_sec": 10},
        done=DUB,
    ),
    fal.Run: Example(
        {"prompt": "x"},
        {"images": [{"width": 512, "height": 512}]},
        {"image_count": 1, "image_size": "512x512"},
        pending={"request_id": JOB, "status": "IN_QUEUE"},
        done={"images": [{"width": 512, "height": 512}]},
    ),
    replicate.Predictions: Example(
        {"version": "v", "input": {}},
        PREDICTION,
        {"compute_seconds": 1.5},
        pending={**PREDICTION, "status": "starting", "output": None, "metrics": None},
        done=PREDICTION,
    ),
    ollama.Generate: Example(
        {"model": "m", "stream": False}, {"model": "m", "done": True, "prompt_eval_count": 12, "eval_count": 3}, TOKENS
    ),
    ollama.Embed: Example(
        {"model": "m"}, {"model": "m", "prompt_eval_count": 12}, {"prompt_tokens": 12, "model_type": "embedding"}
    ),
    gateways.ZaiVideos: Example(
        {"model": "m", "duration": 4},
        {"id": JOB, "task_status": "PROCESSING"},
        {"cost_status": "billed_unknown", "model_type": "video"},
        pending={"id": JOB, "task_status": "PROCESSING"},
    ),
    gateways.ZaiResult: Example(
        {},
        {},
        {"video_count": 2, "model_type": "video"},
        done={"task_status": "SUCCESS", "video_result": [{"url": "u"}, {"url": "v"}]},
    ),
}
