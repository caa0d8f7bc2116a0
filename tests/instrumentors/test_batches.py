"""Batches: nothing is recorded when one is started; each line of its results is a record at batch price, once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from decimal import Decimal
from typing import Any

import httpx2
import pytest

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
CHAT = {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [], "service_tier": "default", "usage": USAGE}
OPENAI = [
    {"custom_id": "a", "response": {"status_code": 200, "body": CHAT}, "error": None},
    {"custom_id": "b", "response": {"status_code": 200, "body": {**CHAT, "id": "chatcmpl-2"}}, "error": None},
    {"custom_id": "c", "response": {"status_code": 400, "body": {"error": {"type": "invalid", "message": "no"}}}},
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
ANTHROPIC = [
    {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
    {"custom_id": "b", "result": {"type": "canceled"}},
]
BATCHES, FILE = "https://api.openai.com/v1/batches", "https://api.openai.com/v1/files/file-9/content"
MESSAGES = "https://api.anthropic.com/v1/messages/batches"


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def send(method: str, url: str, answer: bytes | dict, *, stream: bool = False) -> None:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer, indent=2).encode()
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=raw))) as client:
        response = client.send(client.build_request(method, url, json={} if method == "POST" else None), stream=stream)
        assert response.read() == raw


@pytest.mark.parametrize("stream", [True, False])
def test_results_of_openai_are_records_once(recorder, stream):
    """The file's id comes with a look at the batch; its lines are read however the file is downloaded."""
    send("POST", BATCHES, {"id": "batch_1", "status": "validating", "output_file_id": None})
    send("GET", f"{BATCHES}/batch_1", {"id": "batch_1", "status": "completed", "output_file_id": "file-9"})
    assert recorder.records == []
    send("GET", FILE, lines(OPENAI), stream=stream)
    send("GET", FILE, lines(OPENAI))
    first, second, failed = recorder.records
    assert (first["response_id"], first["prompt_tokens"], first["pricing_tier"]) == ("chatcmpl-1", 1000, "batch")
    assert (second["metadata"], failed["cost_status"]) == ({"custom_id": "b"}, "not_billed")
    assert len({record["_span"].context.trace_id for record in recorder.records}) == 1


def test_results_of_a_batch_in_a_region_say_where(recorder):
    """Which their price depends on."""
    there = [url.replace("//api.", "//eu.api.") for url in (BATCHES, f"{BATCHES}/batch_1", FILE)]
    send("POST", there[0], {"id": "batch_1", "status": "validating", "output_file_id": None})
    send("GET", there[1], {"id": "batch_1", "status": "completed", "output_file_id": "file-9"})
    body = {**CHAT, "model": "gpt-5.4"}
    send("GET", there[2], lines([{"custom_id": "a", "response": {"status_code": 200, "body": body}}]))
    assert recorder.only["usage_raw"]["inference_geo"] == "eu"


def test_an_event_loop_does_not_wait_for_the_records_of_a_batch(recorder):
    """A file may have a hundred thousand results: they are recorded on another thread, and by a flush at the latest."""
    send("POST", BATCHES, {"id": "batch_1"})
    send("GET", f"{BATCHES}/batch_1", {"id": "batch_1", "status": "completed", "output_file_id": "file-9"})
    made_on: list[str] = []
    record = recorder.record

    def noting(*args: Any) -> None:
        made_on.append(threading.current_thread().name)
        record(*args)

    recorder.record = noting

    async def download() -> None:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=lines(OPENAI)))
        async with httpx2.AsyncClient(transport=answer) as client:
            await client.get(FILE)

    asyncio.run(download())
    deadline = time.monotonic() + 5
    while len(made_on) < len(OPENAI) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [record["metadata"]["custom_id"] for record in recorder.records] == ["a", "b", "c"]
    assert set(made_on) == {"spectra-streams"}


def test_results_of_anthropic_are_records_once(recorder):
    """What was canceled was never answered."""
    send("POST", MESSAGES, {"id": "msgbatch_1", "processing_status": "in_progress"})
    send("GET", f"{MESSAGES}/msgbatch_1/results", lines(ANTHROPIC))
    send("GET", f"{MESSAGES}/msgbatch_1/results", lines(ANTHROPIC))
    assert (recorder.only["provider"], recorder.only["prompt_tokens"]) == ("anthropic", 10)
    assert recorder.only["pricing_tier"] == "batch"


GEMINI = {"candidates": [], "modelVersion": "gemini-2.5-flash", "responseId": "g1",
          "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 100}}  # fmt: skip
ROUTED = {**CHAT, "usage": {**USAGE, "cost": 0.5}}
FILE_KINDS = [
    ("groq", "https://api.groq.com/openai/v1/batches", "/b1", "https://api.groq.com/openai/v1/files/f1/content",
     {"id": "b1"}, {"id": "b1", "output_file_id": "f1"}, OPENAI[0]),
    ("azure", "https://r.openai.azure.com/openai/batches?api-version=1", "/b1", "https://r.openai.azure.com/openai/files/f1/content",
     {"id": "b1"}, {"id": "b1", "output_file_id": "f1"}, OPENAI[0]),
    ("together", "https://api.together.xyz/v1/batches", "/b1", "https://api.together.xyz/v1/files/f1/content",
     {"job": {"id": "b1"}}, {"id": "b1", "output_file_id": "f1"}, OPENAI[0]),
    ("mistral", "https://api.mistral.ai/v1/batch/jobs", "/b1", "https://api.mistral.ai/v1/files/f1/content",
     {"id": "b1", "status": "QUEUED"}, {"id": "b1", "status": "SUCCESS", "output_file": "f1"}, OPENAI[0]),
    ("google", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:batchGenerateContent",
     "https://generativelanguage.googleapis.com/v1beta/batches/b1", "https://generativelanguage.googleapis.com/download/v1beta/files/f1:download?alt=media",
     {"name": "batches/b1", "metadata": {"model": "models/gemini-2.5-flash"}},
     {"name": "batches/b1", "done": True, "response": {"responsesFile": "files/f1"}}, {"key": "a", "response": GEMINI}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "start", "look", "file", "started", "done", "row"), FILE_KINDS, ids=[k[0] for k in FILE_KINDS]
)
def test_results_in_a_file_are_records_once(provider, start, look, file, started, done, row, recorder):
    """Each provider that writes them to one, by whatever names."""
    send("POST", start, started)
    send("GET", look if look.startswith("https") else start.partition("?")[0] + look, done)
    assert recorder.records == []
    send("GET", file, lines([row]))
    send("GET", file, lines([row]))
    record = recorder.only
    assert (record["provider"], record["prompt_tokens"], record["completion_tokens"]) == (provider, 1000, 100)
    assert (record["pricing_tier"], record["metadata"]) == ("batch", {"custom_id": "a"})


def test_results_within_the_answer_to_a_look_are_records_once(recorder):
    """OpenRouter's, with what it charged; Gemini's and Mistral's where the calls were sent inline."""
    router, mistral = "https://openrouter.ai/api/v1/batches", "https://api.mistral.ai/v1/batch/jobs"
    google = "https://generativelanguage.googleapis.com/v1beta"
    send("POST", router, {"id": "b1", "status": "validating"})
    send("POST", mistral, {"id": "b1", "status": "QUEUED", "outputs": None})
    send("POST", f"{google}/models/gemini-2.5-flash:batchGenerateContent", {"name": "batches/b1"})
    for _ in range(2):
        send("GET", f"{router}/b1", {"id": "b1", "status": "in_progress", "results": None})
    row = {"id": "r", "custom_id": "a", "error": None, "response": {"status_code": 200, "body": ROUTED}}
    inline = {"inlinedResponses": {"inlinedResponses": [{"response": GEMINI}, {"error": {"code": 3, "message": "no"}}]}}
    for _ in range(2):
        send("GET", f"{router}/b1", {"id": "b1", "status": "completed", "results": [row]})
        send("GET", f"{mistral}/b1?inline=true", {"id": "b1", "status": "SUCCESS", "outputs": [OPENAI[0]]})
        send("GET", f"{google}/batches/b1", {"name": "batches/b1", "done": True, "response": inline})
    by_provider = [(r["provider"], r["is_failed"], r.get("total_cost_in_cents")) for r in recorder.records]
    assert by_provider == [
        ("openrouter", False, 50),
        ("mistral", False, None),
        ("google", False, None),
        ("google", True, None),
    ]


def test_pages_of_results_are_read_as_they_come(recorder):
    """xAI's, also while others are awaited: each result once, however often its page is looked at."""
    batches = "https://api.x.ai/v1/batches"

    counts = {"prompt_tokens": 10, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 6}}

    def page(*names: str) -> dict:
        answers = [{**CHAT, "id": name, "usage": counts} for name in names]
        rows = [
            {"batch_request_id": answer["id"], "batch_result": {"response": {"chat_get_completion": answer}}}
            for answer in answers
        ]
        return {
            "results": [*rows, {"batch_request_id": "lost", "batch_result": {"error": {"message": "no"}}}],
            "pagination_token": None,
        }

    send("POST", batches, {"batch_id": "b1"})
    for found in (page("a"), page("a"), page("a", "b"), page("b", "c")):
        send("GET", f"{batches}/b1/results?limit=100", found)
    names = [record.get("response_id") for record in recorder.records]
    assert names == ["a", None, "b", "c"]
    assert recorder.records[0]["completion_tokens"] == 10  # reasoning is beside the output, as in its calls
    assert [record["cost_status"] for record in recorder.records if record["is_failed"]] == ["not_billed"]


def test_a_batch_of_somebody_else_makes_no_record(recorder):
    """Nor does any other file."""
    send("GET", FILE, lines(OPENAI))
    send("GET", f"{MESSAGES}/msgbatch_7/results", lines(ANTHROPIC))
    assert recorder.records == []


IMPORTER = """
import json, sys, httpx2, spectra_otel as spectra
spectra.configure()
for method, url, answer in json.loads(sys.argv[1]):
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer.encode()))) as client:
        client.request(method, url)
spectra.force_flush(10); spectra.shutdown()
"""


def test_another_process_imports_them_at_half_the_price(tmp_path):
    """1,000 tokens in and 100 out of gpt-4o cost 0.35 cents, and half of it in a batch."""
    env = {**os.environ, "SPECTRA_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none"}

    def run(*calls: tuple[str, str, str]) -> None:
        command = [sys.executable, "-W", "error", "-c", IMPORTER, json.dumps(calls)]
        subprocess.run(command, env=env, check=True, timeout=60)

    look = json.dumps({"id": "batch_1", "output_file_id": "file-9"})
    run(("POST", BATCHES, '{"id": "batch_1"}'), ("GET", f"{BATCHES}/batch_1", look))
    run(("GET", FILE, lines(OPENAI).decode()))
    sql = "select sum(total_cost_in_cents) cents, count(*) n from spectra_requests"
    asked = [sys.executable, "-m", "spectra_otel.cli", "query", sql, "--format", "json"]
    [row] = json.loads(subprocess.run(asked, env=env, check=True, capture_output=True, text=True, timeout=60).stdout)
    assert (Decimal(str(row["cents"])), row["n"]) == (Decimal("0.35"), 3)
