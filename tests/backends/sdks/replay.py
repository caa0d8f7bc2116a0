"""The local provider with the wire formats of more providers, told by the test what to bill and how to answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from spectra_otel.demo.handler import Handler
from spectra_otel.demo.provider import LocalProvider
from spectra_otel.demo.wire import Answer, Json, sse

PICTURE = {"url": "https://example.com/picture.png", "width": 1024, "height": 768, "content_type": "image/png"}
OPENROUTER_USD = 0.0123


class ReplayHandler(Handler):
    """One method for each format that the local provider does not speak."""

    owner: Replay  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if self.provider == "replicate":
            self._send(200, self._prediction(self.owner.answered["replicate"], "succeeded"))
        elif self.provider == "fal" and self.path.partition("?")[0].endswith("/status"):
            self._send(
                200, {"status": "COMPLETED", "request_id": "job-1", "logs": None, "metrics": {}, **self._queue_urls()}
            )
        elif self.provider == "fal":
            self._send(200, {"images": [PICTURE], "seed": 7})
        else:
            super().do_GET()

    def do_POST(self) -> None:
        formats = {
            "cohere": self._cohere,
            "ollama": self._ollama,
            "replicate": self._replicate,
            "elevenlabs": self._elevenlabs,
            "fal": self._fal,
        }
        answer = formats.get(self.provider)
        if answer is None:
            super().do_POST()
            return
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        answer(self.path.partition("?")[0], body)

    # -- what the test decides -------------------------------------------------------------------------------------

    def _answer(self, prefix: str, body: Json, *, embeds: bool = False) -> Answer:
        answer = super()._answer(prefix, body, embeds=embeds)
        if not embeds:
            answer.usage = dict(self.owner.usage)
        return answer

    def _failed(self, path: str, body: Json, answer: Answer, error: Any) -> bool:
        if not self.owner.status:
            return False
        answer.usage, answer.id = {}, ""
        self._note(path, body, answer, self.owner.status)
        self._send(self.owner.status, error(self.owner.status, "told to fail"))
        return True

    def _plain(self, path: str, body: Json, answer: Answer, document: Json) -> None:
        if self.provider == "openrouter":
            document["usage"]["cost"] = OPENROUTER_USD
        super()._plain(path, body, answer, document)

    def _stream(self, path: str, body: Json, answer: Answer, events: Iterator[bytes], kind: str = "") -> None:
        super()._stream(path, body, answer, self._slowly(events), kind or "text/event-stream; charset=utf-8")

    def _slowly(self, events: Iterator[bytes]) -> Iterator[bytes]:
        for event in events:
            if self.provider == "openrouter":
                event = event.replace(b'"usage": {', f'"usage": {{"cost": {OPENROUTER_USD}, '.encode())
            yield event
            time.sleep(self.owner.pause)

    # -- formats ---------------------------------------------------------------------------------------------------

    def _cohere(self, path: str, body: Json) -> None:
        answer = self._answer("co-", body)
        if self._failed(path, body, answer, lambda status, message: {"message": message}):
            return
        tokens = {"input_tokens": answer.tokens("prompt_tokens"), "output_tokens": answer.tokens("completion_tokens")}
        usage = {"billed_units": tokens, "tokens": {**tokens, "input_tokens": tokens["input_tokens"] + 200}}
        content = [{"type": "text", "text": answer.text}]
        if not body.get("stream"):
            message = {"role": "assistant", "content": content}
            self._plain(
                path, body, answer, {"id": answer.id, "finish_reason": "COMPLETE", "message": message, "usage": usage}
            )
            return
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        events: list[Json] = [
            {"type": "message-start", "id": answer.id, "delta": {"message": message}},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            *(
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
                for word in answer.words
            ),
            {"type": "content-end", "index": 0},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
        ]
        wire = [*(sse(event, event["type"]) for event in events), sse("[DONE]")]
        self._stream(path, body, answer, iter(wire))

    def _ollama(self, path: str, body: Json) -> None:
        answer = self._answer("", body)
        answer.id = ""
        if self._failed(path, body, answer, lambda status, message: {"error": message}):
            return
        head = {"model": answer.model, "created_at": "2026-11-20T10:00:00.000000Z"}
        counts = {"prompt_eval_count": answer.tokens("prompt_tokens"), "eval_count": answer.tokens("completion_tokens")}
        last = head | {"done": True, "done_reason": "stop", "total_duration": 9, **counts}

        def said(text: str) -> Json:
            return {"message": {"role": "assistant", "content": text}}

        if body.get("stream") is False:
            self._plain(path, body, answer, last | said(answer.text))
            return
        lines = [*(head | said(word) | {"done": False} for word in answer.words), last | said("")]
        wire = (json.dumps(line).encode() + b"\n" for line in lines)
        self._stream(path, body, answer, wire, "application/x-ndjson")

    def _replicate(self, path: str, body: Json) -> None:
        answer = self._answer("rep", {"model": "/".join(path.split("/")[3:5]), **body})
        if self._failed(path, body, answer, lambda status, message: {"detail": message, "status": status}):
            return
        self.owner.answered["replicate"] = answer
        status = "succeeded" if self.owner.answers_at_once else "starting"
        self._plain(path, body, answer, self._prediction(answer, status))

    def _prediction(self, answer: Answer, status: str) -> Json:
        done = status == "succeeded"
        home = f"{self.owner.url('replicate')}/v1/predictions/{answer.id}"
        return {
            "id": answer.id, "model": answer.model, "version": "hidden", "input": {}, "status": status, "logs": "", "error": None,
            "output": [PICTURE["url"]] if done else None, "created_at": "2026-11-20T10:00:00.000Z",
            "started_at": None, "completed_at": None, "metrics": {"image_count": 1, "predict_time": 0.5} if done else None,
            "urls": {"get": home, "cancel": f"{home}/cancel"},
        }  # fmt: skip

    def _elevenlabs(self, path: str, body: Json) -> None:
        answer = self._answer("el", {"model": body.get("model_id")})
        if self._failed(path, body, answer, lambda status, message: {"detail": {"status": "bad", "message": message}}):
            return
        self._stream(path, body, answer, iter([b"ID3" + bytes(2000)] * 4), "audio/mpeg")

    def _fal(self, path: str, body: Json) -> None:
        answer = self._answer("", {"model": path.strip("/"), **body})
        if self._failed(path, body, answer, lambda status, message: {"detail": message}):
            return
        if self.owner.answers_at_once:
            self._plain(path, body, answer, {"images": [PICTURE], "seed": 7})
        else:
            answer.id = "job-1"
            self._plain(
                path,
                body,
                answer,
                {"status": "IN_QUEUE", "request_id": "job-1", "queue_position": 0, **self._queue_urls()},
            )

    def _queue_urls(self) -> Json:
        home = f"{self.owner.url('fal')}/fal-ai/flux/requests/job-1"
        return {"response_url": home, "status_url": f"{home}/status", "cancel_url": f"{home}/cancel"}


class Replay(LocalProvider):
    """``usage`` is billed for each call; ``status`` fails it; ``pause`` is seconds after each event of a stream."""

    providers = (
        "openai", "anthropic", "google", "mistral", "cohere", "groq", "ollama", "replicate", "elevenlabs", "fal", "openrouter",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.usage: dict[str, int] = {}
        self.status = 0
        self.pause = 0.0
        self.answers_at_once = True
        self.answered: dict[str, Answer] = {}

    def handler(self) -> type[Handler]:
        return ReplayHandler
