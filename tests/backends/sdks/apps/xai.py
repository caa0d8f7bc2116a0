"""Calls through xai-sdk, which speaks gRPC: its own spans are what there is to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from xai_sdk import Client
from xai_sdk.chat import user
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, usage_pb2

from spectra_otel.demo.handler import Served

MODEL = "grok-4"


class Chat(chat_pb2_grpc.ChatServicer):
    """Bills what the test says; xAI counts reasoning beside the output."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def _note(self, streams: bool) -> Any:
        usage = self.server.usage
        self.server.served(Served("xai", "", MODEL, MODEL, "grok-1", 200, dict(usage), streams))
        written = usage["completion_tokens"] - usage["reasoning_tokens"]
        return usage_pb2.SamplingUsage(
            prompt_tokens=usage["prompt_tokens"],
            prompt_text_tokens=usage["prompt_tokens"],
            cached_prompt_text_tokens=usage["cached_tokens"],
            completion_tokens=written,
            reasoning_tokens=usage["reasoning_tokens"],
            total_tokens=usage["prompt_tokens"] + usage["completion_tokens"],
        )

    def _refuse(self, context: Any, streams: bool) -> None:
        """As xAI refuses what it cannot read: the status of gRPC is all there is."""
        if self.server.status:
            self.server.served(Served("xai", "", MODEL, "", "", self.server.status, {}, streams))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such parameter")

    def GetCompletion(self, request: Any, context: Any) -> Any:
        self._refuse(context, False)
        said = chat_pb2.CompletionMessage(content="sunny", role=chat_pb2.ROLE_ASSISTANT)
        output = chat_pb2.CompletionOutput(index=0, message=said, finish_reason="REASON_STOP")
        return chat_pb2.GetChatCompletionResponse(id="grok-1", model=MODEL, outputs=[output], usage=self._note(False))

    def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:
        self._refuse(context, True)
        usage = self._note(True)
        for word in ("sun", "ny"):
            time.sleep(self.server.pause)
            delta = chat_pb2.Delta(content=word, role=chat_pb2.ROLE_ASSISTANT)
            output = chat_pb2.CompletionOutputChunk(index=0, delta=delta)
            yield chat_pb2.GetChatCompletionChunk(id="grok-1", model=MODEL, outputs=[output])
        yield chat_pb2.GetChatCompletionChunk(id="grok-1", model=MODEL, usage=usage)


def with_chat(call: Callable[[Any], Any]) -> Callable[[Any], None]:
    def run(server: Any) -> None:
        serving = grpc.server(futures.ThreadPoolExecutor(2))
        chat_pb2_grpc.add_ChatServicer_to_server(Chat(server), serving)
        port = serving.add_insecure_port("127.0.0.1:0")
        serving.start()
        try:
            client = Client(api_key="x", api_host=f"127.0.0.1:{port}", use_insecure_channel=True)
            chat = client.chat.create(model=MODEL)
            chat.append(user("How is the weather?"))
            call(chat)
        finally:
            serving.stop(None)

    return run


def leave(chat: Any) -> None:
    """Stop after the first chunk."""
    for _ in chat.stream():
        break


CASES = {
    "xai/plain": with_chat(lambda chat: chat.sample()),
    "xai/stream": with_chat(lambda chat: list(chat.stream())),
    "xai/early": with_chat(leave),
    "xai/error": with_chat(lambda chat: chat.sample()),
    "xai/error in a stream": with_chat(lambda chat: list(chat.stream())),
}
