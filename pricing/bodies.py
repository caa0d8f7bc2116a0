"""What a request body says of the amounts its call can have: text, images and files, limits, tools that the provider runs.

Bodies are those of any provider, so fields are looked for by all the names they have, wherever a provider nests them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, NamedTuple

OUTPUT_LIMITS = (
    "max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "maxTokens", "max_tokens_to_sample",
    "num_predict",
)  # fmt: skip
"""Where a request limits the tokens of an answer, in the order in which providers obey them."""
_ANSWERS = (
    "n", "candidateCount", "candidate_count", "best_of", "sampleCount", "num_images", "num_outputs", "numberOfImages",
)  # fmt: skip
_HELD = ("previous_response_id", "conversation", "cachedContent", "cached_content", "prompt", "container")
"""Fields by which a provider adds to the prompt what the body does not hold (`prompt`: where it is a mapping, a stored one)."""
_IMAGES = frozenset({"image", "input_image", "image_url"})
_FILES = frozenset({"audio", "file", "video", "document", "input_audio", "input_file", "file_id", "file_ids"})
_BY_TYPE = frozenset({"inlineData", "inline_data", "fileData", "file_data"})
"""Parts of Gemini, which say by a MIME type what they are."""
_CODES = frozenset({"data", "b64_json", "bytes", "url", "image_url", "file_data", "input_image"})
_SCHEMAS = frozenset({"tools", "functions", "toolConfig", "tool_config", "response_format", "text_format"})
"""What describes data instead of holding some: a property named `image` is no image."""
_NESTED = (
    "generationConfig", "generation_config", "inferenceConfig", "parameters", "config", "options", "input",
    "textGenerationConfig", "imageGenerationConfig",
)  # fmt: skip
_TOOLS: Mapping[str, str] = {
    "web_search_preview": "web_search_preview",
    "web_search": "web_search", "file_search": "file_search", "code_interpreter": "code_interpreter",
    "x_search": "x_search", "code_execution": "code_execution", "web_fetch": "web_fetch", "mcp": "mcp",
    "image_generation": "image_generation", "collections_search": "collections_search",
    "googleSearch": "grounding", "google_search": "grounding", "googleMaps": "maps", "google_maps": "maps",
    "maps": "maps", "urlContext": "url_context", "url_context": "url_context", "codeExecution": "code_execution",
}  # fmt: skip
"""How the type of a tool that the provider runs begins (or the field, in Gemini) → the record's name of what is billed."""


class Weight(NamedTuple):
    """``text``: bytes of all text and field names. ``images`` and ``files``: how many the body holds or points to.

    ``uploads`` are those of the files that are sent as they are, in parts of a form.
    """

    text: int
    images: int
    files: int
    uploads: int = 0


def weigh(body: Mapping[str, Any]) -> Weight:
    """What a body holds. A part that is an image or a file counts once, however it is nested; its code is not text."""
    text = images = files = uploads = 0
    stack: list[tuple[str, Any, bool, bool]] = [("", body, False, False)]
    while stack:
        key, item, is_inside, is_schema = stack.pop()
        if isinstance(item, str):
            if (
                not is_schema
                and key in _CODES
                and (len(item) > 4096 or item.startswith(("data:", "http://", "https://")))
            ):
                files += not is_inside
            else:
                text += len(item) if item.isascii() else len(item.encode("utf-8", "surrogatepass"))
        elif isinstance(item, dict):
            if not (is_inside or is_schema) and (found := _kind_of(item)):
                is_inside = True
                images += found == "image"
                files += found == "file"
            for name, inner in item.items():
                text += len(name) if isinstance(name, str) else 1
                stack.append((name, inner, is_inside, is_schema or name in _SCHEMAS))
        elif isinstance(item, list | tuple):
            stack += [(key, inner, is_inside, is_schema) for inner in item]
        elif item is None or isinstance(item, bool | int | float):
            text += len(str(item))
        else:
            files += not is_inside
            uploads += 1  # bytes, or a part of a form
    return Weight(text, images, files, uploads)


def _kind_of(part: dict[Any, Any]) -> str:
    """``image`` or ``file`` for a mapping that is one or has one; empty for any other."""
    kind = part.get("type")
    if kind in _FILES or not _FILES.isdisjoint(part):
        return "file"
    if kind in _IMAGES or not _IMAGES.isdisjoint(part):
        return "image"
    for name in _BY_TYPE & part.keys():
        data = part[name]
        mime = (data.get("mimeType") or data.get("mime_type")) if isinstance(data, dict) else None
        return "image" if str(mime).startswith("image/") else "file"
    return ""


def answers(body: Mapping[str, Any]) -> int:
    """How many answers are asked for; of the best of several all are billed, and each of a list of prompts has its own."""
    asked = number(body, *_ANSWERS) or 1
    if "best_of" in body:
        asked = max(asked, number(body, "best_of") or 1)
    return asked * prompts(body)


def prompts(body: Mapping[str, Any]) -> int:
    """How many prompts the body has, each with a window of its own: a list of them is for text completion alone."""
    said = body.get("prompt")
    return sum(not isinstance(one, int) for one in said) or 1 if isinstance(said, list | tuple) else 1


def output_limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens of one answer, if the body limits them."""
    return number(body, *OUTPUT_LIMITS)


def refers_elsewhere(body: Mapping[str, Any]) -> bool:
    """Whether the provider adds to the prompt what it holds: an earlier conversation, a cache, a stored prompt."""
    return any(isinstance(body.get(name), Mapping) or (name != "prompt" and body.get(name)) for name in _HELD)


def cache_writes(body: Mapping[str, Any]) -> bool:
    """Whether the body asks for parts of its prompt to be kept, as Anthropic and Bedrock have it."""
    stack: list[Any] = [body]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if "cache_control" in item or "cachePoint" in item:
                return True
            stack += [inner for inner in item.values() if isinstance(inner, dict | list)]
        else:
            stack += [inner for inner in item if isinstance(inner, dict | list)]
    return False


def server_tools(body: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Tools that the provider runs, and how often at most (``None``: the body does not say)."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list | tuple) else ():
        if not isinstance(tool, Mapping):
            continue
        kind = str(tool.get("type") or next(iter(tool), ""))
        name = next((name for start, name in _TOOLS.items() if kind.startswith(start)), None)
        if name is not None:
            most = tool.get("max_uses", body.get("max_tool_calls"))
            yield name, most if isinstance(most, int) and not isinstance(most, bool) else None
    if isinstance(body.get("web_search_options"), Mapping):
        yield "web_search", None


def billed_apart(body: Mapping[str, Any]) -> Iterator[str]:
    """What is billed beside the answer, as often or as much as the provider sees fit, in words."""
    tools, context = body.get("tools"), body.get("context_management")
    if isinstance(tools, list | tuple) and any(_type(tool).startswith("advisor") for tool in tools):
        yield "the advisor is a model of its own"
    edits = context.get("edits") if isinstance(context, Mapping) else None
    if isinstance(edits, list | tuple) and any(_type(edit).startswith("compact") for edit in edits):
        yield "compactions are billed beside the answer"
    if body.get("plugins"):
        yield "plugins are billed beside the answer"


def _type(item: Any) -> str:
    return str(item.get("type")) if isinstance(item, Mapping) else ""


def annotates(body: Mapping[str, Any]) -> bool:
    """Whether the pages of a document are to be annotated, too, which Mistral bills."""
    return any(body.get(name) for name in ("document_annotation_format", "bbox_annotation_format"))


def built_in_tools(body: Mapping[str, Any]) -> int:
    """How many tools the provider describes to the model itself (Anthropic's, which have types of their own)."""
    tools = body.get("tools")
    kinds = [tool.get("type") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list | tuple) else []
    return sum(kind not in (None, "function", "custom") for kind in kinds)


def texts(value: Any) -> Iterator[str]:
    """All text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def number(body: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is a positive number, rounded up."""
    for place in (body, *(inner for name in _NESTED if isinstance(inner := body.get(name), Mapping))):
        for name in names:
            value = place.get(name)
            if value is None:
                continue
            if isinstance(value, str) and value.removesuffix("s").isdecimal():
                value = int(value.removesuffix("s"))
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**12:
                return ceil(value)
    return None


def word(body: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is text, as rates have it; empty if there is none or the provider is to choose."""
    found = next((value for name in names if isinstance(value := body.get(name), str)), "").lower().replace(" ", "-")
    return "" if found == "auto" else found


def size(body: Mapping[str, Any]) -> str:
    """The size of the images asked for, as rates have it: a word, or width and height, together or each on its own."""
    named = ("size", "image_size", "imageSize")
    for place in (*(body.get(name) for name in named), body):
        if isinstance(place, Mapping) and (wide := number(place, "width")) and (high := number(place, "height")):
            return f"{wide}x{high}"
    return word(body, *named)


def model_in(endpoint: str | None) -> str:
    """The model that a path names: `/v1beta/models/NAME:generateContent`, `/model/NAME/invoke`, `/deployments/NAME/chat/…`."""
    parts = (endpoint or "").partition("?")[0].split("/")
    for before in ("models", "model", "deployments"):
        if before in parts[:-1]:
            name = parts[parts.index(before) + 1]
            return name if before == "model" else name.partition(":")[0]
    return ""
