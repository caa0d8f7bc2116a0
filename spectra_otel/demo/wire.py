"""What three providers put on the wire, made from one :class:`Answer`: bodies, stream events and error shapes.

Each class below is one wire format. ``plain`` is the body of an answer, ``events`` the events of a streamed one as the bytes
that go out, ``embeddings`` the body of an embedding call, ``error`` the body of a failure. Nothing here is random: equal
requests get equal answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
TOOL_ARGUMENTS = {"city": "Lisbon"}


@dataclass(slots=True)
class Answer:
    """What the server decided to answer: ids, words and the usage it would bill, under the names of the record."""

    id: str
    model: str
    snapshot: str
    usage: dict[str, int]
    words: list[str] = field(default_factory=list)
    tool: str | None = None
    thinking: bool = False
    tier: str = "default"

    @property
    def text(self) -> str:
        return "".join(self.words)

    def tokens(self, name: str) -> int:
        return self.usage.get(name, 0)


def sse(data: Json | str, event: str | None = None) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


class OpenAIChat:
    """``/v1/chat/completions``: usage comes in a last chunk of its own, and only when ``include_usage`` asks for it."""

    @staticmethod
    def usage(answer: Answer) -> Json:
        prompt, completion = answer.tokens("prompt_tokens"), answer.tokens("completion_tokens")
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": answer.tokens("cached_tokens"), "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": answer.tokens("reasoning_tokens"), "audio_tokens": 0},
        }

    @classmethod
    def plain(cls, answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": None if answer.tool else answer.text, "refusal": None}
        if answer.tool:
            message["tool_calls"] = [_openai_tool_call(answer)]
        choice = {"index": 0, "message": message, "finish_reason": _openai_finish(answer), "logprobs": None}
        head = cls._head(answer, "chat.completion")
        return head | {"choices": [choice], "usage": cls.usage(answer), "service_tier": answer.tier}

    @classmethod
    def events(cls, answer: Answer, *, include_usage: bool) -> Iterator[bytes]:
        head = cls._head(answer, "chat.completion.chunk") | {"service_tier": answer.tier}
        if include_usage:
            head["usage"] = None
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        if answer.tool:
            deltas.append({"tool_calls": [{"index": 0, **_openai_tool_call(answer)}]})
        else:
            deltas.extend({"content": word} for word in answer.words)
        for delta in deltas:
            yield sse(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield sse(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": _openai_finish(answer)}]})
        if include_usage:
            yield sse(head | {"choices": [], "usage": cls.usage(answer)})
        yield sse("[DONE]")

    @staticmethod
    def embeddings(answer: Answer, count: int) -> Json:
        prompt = answer.tokens("prompt_tokens")
        rows = [{"object": "embedding", "index": i, "embedding": [0.1, 0.2, 0.3]} for i in range(count)]
        usage = {"prompt_tokens": prompt, "total_tokens": prompt}
        return {"object": "list", "data": rows, "model": answer.snapshot, "usage": usage}

    @staticmethod
    def error(status: int, message: str) -> Json:
        kinds = {401: "invalid_request_error", 429: "rate_limit_exceeded", 500: "server_error"}
        kind = kinds.get(status, "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": kind}}

    @staticmethod
    def _head(answer: Answer, kind: str) -> Json:
        return {"id": answer.id, "object": kind, "created": 1_790_000_000, "model": answer.snapshot}


def _openai_finish(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "stop"


def _openai_tool_call(answer: Answer) -> Json:
    function = {"name": answer.tool, "arguments": json.dumps(TOOL_ARGUMENTS)}
    return {"id": f"call_{answer.id[-8:]}", "type": "function", "function": function}


class OpenAIResponses:
    """``/v1/responses``: named events; the last, ``response.completed``, carries the whole response with its usage."""

    @staticmethod
    def plain(answer: Answer, *, status: str = "completed") -> Json:
        prompt, completion = answer.tokens("prompt_tokens"), answer.tokens("completion_tokens")
        done = status == "completed"
        usage: Json = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": answer.tokens("cached_tokens"), "cache_write_tokens": 0},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": answer.tokens("reasoning_tokens")},
            "total_tokens": prompt + completion,
        }
        return {
            "id": answer.id, "object": "response", "created_at": 1_790_000_000, "status": status, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "model": answer.snapshot,
            "output": [OpenAIResponses._item(answer)] if done else [], "parallel_tool_calls": True, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "service_tier": answer.tier,
            "usage": usage if done else None,
        }  # fmt: skip

    @classmethod
    def events(cls, answer: Answer) -> Iterator[bytes]:
        events: list[Json] = [
            {"type": "response.created", "response": cls.plain(answer, status="in_progress")},
            {"type": "response.output_item.added", "output_index": 0, "item": cls._item(answer) | {"content": []}},
        ]
        where = {"item_id": f"msg_{answer.id}", "output_index": 0, "content_index": 0}
        if not answer.tool:
            part = {"type": "output_text", "text": "", "annotations": []}
            events.append({"type": "response.content_part.added", **where, "part": part})
            for word in answer.words:
                events.append({"type": "response.output_text.delta", **where, "delta": word, "logprobs": []})
            events.append({"type": "response.output_text.done", **where, "text": answer.text, "logprobs": []})
            events.append({"type": "response.content_part.done", **where, "part": part | {"text": answer.text}})
        events.append({"type": "response.output_item.done", "output_index": 0, "item": cls._item(answer)})
        events.append({"type": "response.completed", "response": cls.plain(answer)})
        for number, event in enumerate(events):
            yield sse(event | {"sequence_number": number}, event["type"])

    @staticmethod
    def _item(answer: Answer) -> Json:
        if answer.tool:
            return {
                "type": "function_call", "id": f"fc_{answer.id}", "call_id": f"call_{answer.id[-8:]}", "name": answer.tool,
                "arguments": json.dumps(TOOL_ARGUMENTS), "status": "completed",
            }  # fmt: skip
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        return {
            "type": "message",
            "id": f"msg_{answer.id}",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }


class AnthropicMessages:
    """``/v1/messages``: input is counted without the cache; a stream starts with a provisional count of output."""

    @staticmethod
    def usage(answer: Answer, output: int) -> Json:
        read, write = answer.tokens("cached_tokens"), answer.tokens("cache_write_tokens")
        hour = answer.tokens("cache_write_1h_tokens")
        return {
            "input_tokens": answer.tokens("prompt_tokens") - read - write,
            "cache_creation_input_tokens": write,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
            "output_tokens": output,
            "service_tier": "standard",
        }

    @classmethod
    def plain(cls, answer: Answer) -> Json:
        usage = cls.usage(answer, answer.tokens("completion_tokens"))
        return cls._message(answer) | {"content": cls._blocks(answer), "stop_reason": cls._stop(answer), "usage": usage}

    @classmethod
    def events(cls, answer: Answer) -> Iterator[bytes]:
        start = cls._message(answer) | {"content": [], "stop_reason": None, "usage": cls.usage(answer, 1)}
        events: list[Json] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        for index, block in enumerate(cls._blocks(answer)):
            empty, deltas = cls._deltas(block, answer)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
            events.append({"type": "content_block_stop", "index": index})
        stop = {"stop_reason": cls._stop(answer), "stop_sequence": None}
        output = {"output_tokens": answer.tokens("completion_tokens")}
        events.append({"type": "message_delta", "delta": stop, "usage": output})
        events.append({"type": "message_stop"})
        for event in events:
            yield sse(event, event["type"])

    @staticmethod
    def error(status: int, message: str) -> Json:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error", 500: "api_error"}
        return {"type": "error", "error": {"type": kinds.get(status, "invalid_request_error"), "message": message}}

    @staticmethod
    def _message(answer: Answer) -> Json:
        head = {"id": answer.id, "type": "message", "role": "assistant", "model": answer.snapshot}
        return head | {"stop_sequence": None}

    @staticmethod
    def _stop(answer: Answer) -> str:
        return "tool_use" if answer.tool else "end_turn"

    @staticmethod
    def _blocks(answer: Answer) -> list[Json]:
        blocks: list[Json] = []
        if answer.thinking:
            blocks.append({"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"})
        if answer.tool:
            name = f"toolu_{answer.id[-8:]}"
            blocks.append({"type": "tool_use", "id": name, "name": answer.tool, "input": TOOL_ARGUMENTS})
        else:
            blocks.append({"type": "text", "text": answer.text})
        return blocks

    @staticmethod
    def _deltas(block: Json, answer: Answer) -> tuple[Json, list[Json]]:
        """The block as it starts, empty, and the deltas that fill it."""
        if block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [*deltas, signature]
        if block["type"] == "tool_use":
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        return block | {"text": ""}, [{"type": "text_delta", "text": word} for word in answer.words]


class Gemini:
    """``:generateContent`` and its kin: thoughts are counted beside the candidates; each chunk repeats the usage so far."""

    @staticmethod
    def usage(answer: Answer) -> Json:
        thoughts = answer.tokens("reasoning_tokens")
        prompt, completion = answer.tokens("prompt_tokens"), answer.tokens("completion_tokens")
        usage = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": completion - thoughts,
            "totalTokenCount": prompt + completion,
            "cachedContentTokenCount": answer.tokens("cached_tokens"),
            "thoughtsTokenCount": thoughts,
        }
        return {name: count for name, count in usage.items() if count}  # zeros are left out

    @classmethod
    def plain(cls, answer: Answer) -> Json:
        part = {"functionCall": {"name": answer.tool, "args": TOOL_ARGUMENTS}} if answer.tool else {"text": answer.text}
        return cls._chunk(answer, part, cls.usage(answer), "STOP")

    @classmethod
    def events(cls, answer: Answer) -> Iterator[bytes]:
        if answer.tool:
            yield sse(cls.plain(answer))
            return
        first = {"promptTokenCount": answer.tokens("prompt_tokens"), "totalTokenCount": answer.tokens("prompt_tokens")}
        *rest, last = answer.words or [""]
        for word in rest:
            yield sse(cls._chunk(answer, {"text": word}, first, None))
        yield sse(cls._chunk(answer, {"text": last}, cls.usage(answer), "STOP"))

    @staticmethod
    def embeddings(answer: Answer, count: int, *, batch: bool) -> Json:
        usage = {"usageMetadata": {"promptTokenCount": answer.tokens("prompt_tokens")}}
        vector = {"values": [0.1, 0.2, 0.3]}
        return ({"embeddings": [vector] * count} if batch else {"embedding": vector}) | usage

    @staticmethod
    def error(status: int, message: str) -> Json:
        kinds = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
        return {"error": {"code": status, "message": message, "status": kinds.get(status, "INVALID_ARGUMENT")}}

    @staticmethod
    def _chunk(answer: Answer, part: Json, usage: Json, finish: str | None) -> Json:
        candidate: Json = {"content": {"role": "model", "parts": [part]}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        head = {"candidates": [candidate], "usageMetadata": usage}
        return head | {"modelVersion": answer.snapshot, "responseId": answer.id}
