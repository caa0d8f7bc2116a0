"""Recorded traffic of hundreds of real calls, replayed: each record agrees with the truth beside it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "corpus" / "http"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of recorded traffic is not here")
FIELDS = {
    "provider": "provider", "model_type": "model_type", "request_model": "model", "response_model": "snapshot",
    **{name: name for name in (
        "response_id", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
        "image_count", "duration_seconds",
        "input_characters", "finish_reason", "has_tool_calls", "is_streaming", "status_code", "is_failed",
    )},
}  # fmt: skip
DROP = {"content-length", "host", "transfer-encoding", "content-encoding", "accept-encoding"}


class Pieces(httpx2.SyncByteStream):
    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __iter__(self) -> Iterator[bytes]:
        return (self.raw[i : i + 700] for i in range(0, len(self.raw), 700))


def rows(name: str) -> list[str]:
    return (CORPUS / name).read_text().strip().split("\n")


def content(part: dict[str, Any]) -> bytes:
    coded = part.get("body_b64")
    return base64.b64decode(coded) if coded else (part.get("body") or "").encode()


def kept(part: dict[str, Any]) -> dict[str, str]:
    return {k: v for k, v in (part.get("headers") or {}).items() if k.lower() not in DROP}


def test_recorded_traffic_is_read_as_it_was(recorder):
    """No field wrong, no call lost, nothing recorded that is not billed, and not a byte changed for the app."""
    truths = {row["id"]: row for row in map(json.loads, rows("expected.jsonl"))}
    count, shown = Counter[str](), []
    for pair in map(json.loads, rows("corpus.jsonl")):
        truth = truths[pair["id"]]
        want = truth["expected"]
        response = pair["response"]
        if response.get("truncated"):
            continue
        if truth["confidence"] != "certain" or "moderation" in want["endpoint"]:
            continue
        recorder.records.clear()
        assert replay(pair, bool(want["is_streaming"])) == content(response), pair["id"]
        if len(recorder.records) != truth["billable"]:
            shown.append((pair["id"], want["endpoint"], len(recorder.records)))
            continue
        for name, column in FIELDS.items() if truth["billable"] else ():
            have = recorder.only.get(column)
            if want[name] is not None and name not in truth["uncertain"] and not (have is None and not want[name]):
                verdict = "right" if have == want[name] else "wrong"
                count[verdict] += 1
                if verdict == "wrong":
                    shown.append((pair["id"], name, have, want[name]))
    assert shown == [], "\n".join(map(str, shown))
    assert count["right"] > 3000


def replay(pair: dict[str, Any], stream: bool) -> bytes:
    """Send the request to a server that answers as recorded; the bytes that the app reads."""
    asked, answered = pair["request"], pair["response"]
    answer = httpx2.Response(answered["status"], headers=kept(answered), stream=Pieces(content(answered)))
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        body = content(asked) or None
        request = client.build_request(asked["method"], asked["url"], headers=kept(asked), content=body)
        response = client.send(request, stream=stream)
        return b"".join(response.iter_raw()) if stream else response.content
