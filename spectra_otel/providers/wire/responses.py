"""OpenAI's Responses API, also spoken by Azure, Bedrock, xAI, DeepSeek and OpenRouter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from spectra_otel.providers.base import Format, Sent, StreamReader
from spectra_otel.providers.values import Json, Values, as_dict, as_list, put_job, put_text
from spectra_otel.providers.wire.chat import read_attribution, read_error
from spectra_otel.providers.wire.containers import Beginning, sessions
from spectra_otel.providers.wire.usage import RESPONSES, take

SERVER_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
}
"""Output items that are billed calls of server-side tools."""
CLIENT_TOOLS = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
_PREVIEW = "web_search_preview"
_PENDING = ("queued", "in_progress")
_TELLS = ("type", "status", "action", "container_id", "environment", "size", "quality")


class Responses(Format):
    """``/responses`` and ``/responses/compact``. In background mode the first answer is a job: its cost is not known yet."""

    operation = "chat"

    def __init__(self, extra: Callable[[Json, Values], None] | None = None) -> None:
        self.extra = extra

    def accepts(self, sent: Sent) -> bool:
        return isinstance(sent.body.get("model"), str) and "input" in sent.body

    def read_request(self, sent: Sent) -> Values:
        body = sent.body
        values: Values = {"model": body.get("model"), "is_streaming": bool(body.get("stream"))}
        put_text(values, "requested_tier", body.get("service_tier"))
        read_attribution(body, values)
        conversation = body.get("conversation")
        put_text(values, "conversation_id", conversation.get("id") if isinstance(conversation, dict) else conversation)
        return values

    def read_response(self, body: Json, values: Values) -> None:
        put_text(values, "response_id", body.get("id"))
        put_text(values, "snapshot", body.get("model"))
        put_text(values, "pricing_tier", body.get("service_tier"))
        status = body.get("status")
        reason = as_dict(body.get("incomplete_details")).get("reason")
        put_text(values, "finish_reason", reason or status)
        if status in _PENDING:
            put_job(values, body.get("id"))
        elif status == "cancelled" and not body.get("usage"):
            values["cost_status"] = "billed_unknown"
        if status == "failed" or body.get("error"):
            read_error(body, values)
        items = [as_dict(item) for item in as_list(body.get("output"))]
        values["has_tool_calls"] = any(str(item.get("type")) in CLIENT_TOOLS and not _container(item) for item in items)
        said = as_dict(body.get("tool_usage"))
        read_tools(items, said, values, _beginning(body))
        if "code_interpreter" in values.get("tool_call_counts", ()) and _has_large_container(body):
            values["cost_status"] = "partial"
        usage = body.get("usage")
        if isinstance(usage, dict):
            read_usage(usage, values)
            spent = as_dict(said.get("image_gen"))
            more: Json = {}
            if spent.get("total_tokens"):  # of another model, at prices of its own
                more["image_gen"] = _with_image_model(spent, body, items)
            if "web_search" in values.get("tool_call_counts", ()) and _searches_in_preview(body):
                more["web_search"] = {**as_dict(said.get("web_search")), "type": _PREVIEW}
            if more:
                values["usage_raw"] = {**usage, "tool_usage": {**said, **more}}
        if self.extra is not None:
            self.extra(body, values)

    def open_stream(self, values: Values) -> StreamReader:
        return ResponsesStream(self)


def _with_image_model(spent: Json, body: Json, items: list[Json]) -> Json:
    """What the image tool spent, with its model, as the answer repeats it; not where another one, too, wrote an SVG."""
    tools = [tool for tool in map(as_dict, as_list(body.get("tools"))) if tool.get("type") == "image_generation"]
    if len(tools) != 1 or not tools[0].get("model") or any(item.get("svg_usage") for item in items):
        return spent
    return {**spent, "model": tools[0]["model"]}


def _searches_in_preview(body: Json) -> bool:
    """Whether all that could search, as the answer repeats it, is the dearer tool (`web_search_preview_2025_03_11`)."""
    kinds = [str(as_dict(tool).get("type")) for tool in as_list(body.get("tools"))]
    return all(kind.startswith(_PREVIEW) for kind in kinds if "web_search" in kind) and any(
        _PREVIEW in k for k in kinds
    )


def read_tools(items: list[Json], said: Json, values: Values, beginning: Beginning) -> None:
    """Billed calls of server-side tools among the items of the output, and the images they made.

    Pages that a search opened are not billed, and code is by its container's session. ``said`` is the answer's own count.
    """
    billed = [item for item in items if str(item.get("type")) in SERVER_TOOLS and item.get("status") != "failed"]
    tools = Counter(SERVER_TOOLS[item["type"]] for item in billed if _is_search(item))
    containers = {container for item in items if (container := _container(item))}
    if containers:
        shares = [sessions.pays(container, values.get("response_id"), beginning) for container in containers]
        tools["code_interpreter"] = sum(pays for pays, _ in shares)
        if not all(is_sure for _, is_sure in shares):
            values.setdefault("cost_status", "estimated")
    searches = as_dict(said.get("web_search")).get("num_requests")
    if type(searches) is int:
        tools["web_search"] = searches
    if +tools:
        values["tool_call_counts"] = dict(+tools)
    images = [item for item in billed if item["type"] == "image_generation_call"]
    if images:
        values["image_count"] = len(images)
        put_text(values, "image_size", images[0].get("size"))
        put_text(values, "image_quality", images[0].get("quality"))


def _beginning(body: Json) -> Beginning:
    at = body.get("created_at")
    tools = [as_dict(tool) for tool in as_list(body.get("tools"))]
    names = any(
        type(tool.get("container")) is str or "container_id" in as_dict(tool.get("environment")) for tool in tools
    )
    goes_on = bool(body.get("previous_response_id") or body.get("conversation"))
    return Beginning(at if isinstance(at, int | float) else None, names, goes_on)


def _container(item: Json) -> str:
    """The container in which code or a hosted shell ran; empty where none did, as with a shell that the app is asked to run."""
    holder = item if item.get("type") == "code_interpreter_call" else as_dict(item.get("environment"))
    return str(holder.get("container_id") or "") if item.get("status") != "failed" else ""


def _has_large_container(body: Json) -> bool:
    """Whether one was asked for with more memory than the price of the least is for."""
    tools = [as_dict(tool) for tool in as_list(body.get("tools"))]
    asked = [as_dict(tool.get(name)).get("memory_limit") for tool in tools for name in ("container", "environment")]
    return any(limit not in (None, "1g") for limit in asked)


def _is_search(item: Json) -> bool:
    """Whether the item is no step of a web search other than a search."""
    return item["type"] != "web_search_call" or as_dict(item.get("action")).get("type") in (None, "search")


def read_usage(usage: Json, values: Values) -> None:
    """``usage`` with ``input_tokens`` and ``output_tokens``, both of them totals."""
    values["usage_raw"] = usage
    take(usage, RESPONSES, values)


class ResponsesStream(StreamReader):
    """Typed events; ``response.completed``, ``.incomplete`` and ``.failed`` are the last and carry the whole response.

    Of one that ends before that, the items that were delivered whole count: their tools, their images. A partial image is none.
    """

    __slots__ = ("_beginning", "_format", "_items", "_job")
    mark = b'"response"'

    def __init__(self, format_: Responses) -> None:
        super().__init__()
        self._format = format_
        self._items: list[Json] = []
        self._job: Any = None
        self._beginning = Beginning()

    def event(self, data: Json) -> None:
        kind = data.get("type") or ""
        delta = data.get("delta")
        if type(delta) is str:
            self.characters += len(delta)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._format.read_response(as_dict(data.get("response")), self.values)
            self.complete = self.final = True
        elif kind == "response.output_item.done":
            item = as_dict(data.get("item"))
            self._items.append({name: item.get(name) for name in _TELLS})  # not the image itself
        elif kind == "response.created":
            self._read_start(as_dict(data.get("response")))
        elif kind == "error" or "error" in data:
            read_error(data, self.values)
            self.complete = self.final = True

    def finish(self) -> Values:
        if not self.complete:
            read_tools(self._items, {}, self.values, self._beginning)
            if self._job:
                put_job(self.values, self._job)
        return self.values

    def _read_start(self, response: Json) -> None:
        if response.get("background") is True:  # it goes on when its stream is left
            self._job = response.get("id")
        self._beginning = _beginning(response)
        put_text(self.values, "response_id", response.get("id"))
        put_text(self.values, "snapshot", response.get("model"))
