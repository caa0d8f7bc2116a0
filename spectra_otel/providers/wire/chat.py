"""OpenAI's chat completions (and the older completions), which most providers speak with an accent.

Accents, each an argument of :class:`Chat`: streams that tell their usage only when asked (``asks_for_usage``), reasoning counted
beside the output (``reasoning_beside``) or only in the total (``thoughts_hidden``), cached tokens on a scale of their own
(``cached_doubtful``: more cached than read is left out), audio tokens beside the prompt's (``audio_beside``), and what one
provider adds (``extra``).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from spectra_otel.model.privacy import words
from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_count, put_text
from spectra_otel.providers.wire.usage import CHAT, take


def read_usage(usage: Json, values: Values) -> None:
    """``usage`` of chat completions, and of whoever copied it."""
    take(usage, CHAT, values)


def add_audio(values: Values) -> None:
    """Count audio tokens that are beside the prompt's into it; the total tells whether they are."""
    audio, prompt, total = (values.get(name) for name in ("audio_prompt_tokens", "prompt_tokens", "total_tokens"))
    if audio and prompt is not None and total == prompt + audio + (values.get("completion_tokens") or 0):
        values["prompt_tokens"] = prompt + audio


def read_attribution(body: Json, values: Values) -> None:
    """Whom the request itself names: OpenAI's ``user``, ``safety_identifier`` and ``metadata``."""
    put_text(values, "user_id", body.get("user") or body.get("safety_identifier"))
    metadata = body.get("metadata")
    if metadata and isinstance(metadata, dict):
        values["metadata"] = metadata


_MOST_CENTS = Decimal(10) ** 10
"""No single call was ever charged more than this: it is no cost, and its parts are no numbers that an exporter can send."""


def cents(dollars: Any) -> Decimal | None:
    """An amount of US dollars, as number or text, in cents; None when it is neither."""
    if isinstance(dollars, bool) or not isinstance(dollars, (int, float, str)):
        return None
    try:
        amount = Decimal(str(dollars)) * 100
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and 0 <= amount < _MOST_CENTS else None


def put_provider_cost(values: Values, amount: Decimal | None) -> None:
    """The provider's own figure, in cents: it is the cost, whatever a catalog says."""
    if amount is not None:
        values["total_cost_in_cents"] = amount
        values["cost_status"] = values["cost_source"] = "provider"


class Chat(Format):
    """``/chat/completions``.

    ``extra(body, values)`` reads what one provider adds to a body or chunk (called for each of them).
    """

    operation = "chat"

    def __init__(
        self,
        *,
        asks_for_usage: bool = False,
        reasoning_beside: bool = False,
        thoughts_hidden: bool = False,
        cached_doubtful: bool = False,
        audio_beside: bool = False,
        extra: Callable[[Json, Values], None] | None = None,
    ) -> None:
        self.asks_for_usage = asks_for_usage
        self.reasoning_beside = reasoning_beside
        self.thoughts_hidden = thoughts_hidden
        self.cached_doubtful = cached_doubtful
        self.audio_beside = audio_beside
        self.extra = extra

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {
            "model": body.get("model") or sent.places.get("model"),
            "is_streaming": bool(body.get("stream")),
        }
        put_text(values, "requested_tier", body.get("service_tier"))
        read_attribution(body, values)
        return values

    def accepts(self, sent: Sent) -> bool:
        body = sent.body
        return isinstance(body.get("model"), str) and ("messages" in body or "prompt" in body)

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "pricing_tier", body.get("service_tier"))
        for choice in as_list(body.get("choices")):
            self._read_choice(as_dict(choice), values)
        usage = body.get("usage")
        if isinstance(usage, dict) and usage:
            self.read_usage(usage, values)
        if self.extra is not None:
            self.extra(body, values)

    def open_stream(self, values: Values) -> StreamReader:
        return ChatStream(self, values)

    def read_usage(self, usage: Json, values: Values) -> None:
        """The usage object, with this provider's accent."""
        values["usage_raw"] = usage
        read_usage(usage, values)
        put_text(values, "pricing_tier", usage.get("service_tier"))
        put_provider_cost(values, cents(usage.get("cost")))
        if self.audio_beside:
            add_audio(values)
        if self.cached_doubtful and values.get("cached_tokens", 0) > values.get("prompt_tokens", 0):
            values.pop("cached_tokens", None)
        output, reasoning = values.get("completion_tokens"), values.get("reasoning_tokens")
        if self.reasoning_beside and reasoning and output is not None:
            values["completion_tokens"] = output + reasoning
        elif self.thoughts_hidden and {"prompt_tokens", "completion_tokens", "total_tokens"} <= values.keys():
            thoughts = values["total_tokens"] - values["prompt_tokens"] - values["completion_tokens"]
            if thoughts > 0:
                values["completion_tokens"] += thoughts
                values["reasoning_tokens"] = thoughts

    @staticmethod
    def _read_choice(choice: Json, values: Values) -> None:
        if "finish_reason" not in values:
            put_text(values, "finish_reason", choice.get("finish_reason"))
        message = as_dict(choice.get("message"))
        if message.get("tool_calls") or message.get("function_call"):
            values["has_tool_calls"] = True
        else:
            values.setdefault("has_tool_calls", False)
        add_images(message, values)


def add_images(message: Json, values: Values) -> None:
    """Count the images that a message or a delta brings, as gateways send those of models that draw."""
    images = len(as_list(message.get("images")))
    if images:
        values["image_count"], values["model_type"] = values.get("image_count", 0) + images, "image"


class ChatStream(StreamReader):
    """Chunks of a chat completion; the last usage is the one that counts, for some send a running total in each."""

    __slots__ = ("_extra", "_format", "_is_named", "_tier", "_tools", "_usage")
    mark = b"[DONE]"

    def __init__(self, format_: Chat, request: Values) -> None:
        super().__init__()
        self._format = format_
        self._extra = format_.extra
        self._is_named = False
        self._tier: Any = None
        self._usage: Json | None = None
        self._tools = False

    def event(self, data: Json) -> None:
        get = data.get
        if not self._is_named:
            self._read_names(data)
        choices = get("choices")
        if type(choices) is list:
            for choice in choices:
                if type(choice) is dict:
                    self._read_choice(choice)
        if get("usage"):
            self._usage = data["usage"]
        if get("service_tier") != self._tier:
            self._tier = data.get("service_tier")
            put_text(self.values, "pricing_tier", self._tier)
        if "error" in data or self._extra is not None:
            self._read_rest(data)

    def _read_names(self, data: Json) -> None:
        put_text(self.values, "response_id", data.get("id"))
        put_text(self.values, "snapshot", data.get("model"))
        self._is_named = "response_id" in self.values and "snapshot" in self.values

    def _read_choice(self, choice: Json) -> None:
        delta = choice.get("delta")
        if type(delta) is dict:
            text = delta.get("content") or delta.get("reasoning_content")
            if type(text) is str:
                self.characters += len(text)
            elif "tool_calls" in delta or "function_call" in delta:
                self._read_tools(delta)
            if "images" in delta:
                add_images(delta, self.values)
        elif type(choice.get("text")) is str:
            self.characters += len(choice["text"])
        if choice.get("finish_reason"):
            put_text(self.values, "finish_reason", choice["finish_reason"])
            self.complete = True

    def _read_tools(self, delta: Json) -> None:
        if delta.get("tool_calls") or delta.get("function_call"):
            self._tools = True
            for call in as_list(delta.get("tool_calls")):
                self.characters += len(str(as_dict(as_dict(call).get("function")).get("arguments") or ""))

    def _read_rest(self, data: Json) -> None:
        if data.get("error"):
            read_error(data, self.values)
            self.complete = True
        if self._format.extra is not None:
            self._format.extra(data, self.values)

    def finish(self) -> Values:
        self.values["has_tool_calls"] = self._tools
        if isinstance(self._usage, dict):
            self._format.read_usage(self._usage, self.values)
        return self.values


class Completions(Chat):
    """``/completions``: text in, text out, the same envelope."""

    operation = "text_completion"


class Embeddings(Format):
    """``/embeddings``: only input is counted; some report it as the total alone."""

    operation = "embeddings"
    model_type = "embedding"

    def __init__(self, extra: Callable[[Json, Values], None] | None = None) -> None:
        self.extra = extra

    def accepts(self, sent: Sent) -> bool:
        return isinstance(sent.body.get("model"), str) and "input" in sent.body

    def read_request(self, sent: Sent) -> Values:
        values: Values = {"model": sent.body.get("model") or sent.places.get("model"), "is_streaming": False}
        put_text(values, "user_id", sent.body.get("user"))
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        values["has_tool_calls"] = False
        usage = body.get("usage")
        if isinstance(usage, dict):
            values["usage_raw"] = usage
            put_count(values, "prompt_tokens", usage.get("total_tokens"))
            read_usage({**usage, "completion_tokens": None}, values)
        if self.extra is not None:
            self.extra(body, values)


def read_error(body: Json, values: Values) -> None:
    """The error object of a body, in any of the shapes that providers send."""
    error = body.get("error")
    if isinstance(error, dict):
        kind, message = error.get("type") or error.get("status") or error.get("code"), error.get("message")
    else:
        kind, message = body.get("code") or body.get("type"), error or body.get("message") or body.get("detail")
    values["is_failed"] = True
    if kind:
        values["error_type"] = str(kind)[:200]
    if message:
        values["error_message"] = words(_in_words(message))


def _in_words(message: Any) -> Any:
    """What is wrong, and where, of a list that repeats what was sent beside it, as servers made with FastAPI write it."""
    rows = [as_dict(row) for row in as_list(message)]
    told = [
        f"{'.'.join(map(str, as_list(row.get('loc'))))}: {row['msg']}".lstrip(": ") for row in rows if row.get("msg")
    ]
    return "; ".join(told) or message
