"""Batches: nothing is recorded when one is started; each line of its results is a record at batch price, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import httpx2
import pytest

from spectra_otel import faults, instrumentors
from tests.recording import Recorder

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


@pytest.fixture
def recorder(tmp_path, monkeypatch) -> Iterator[Recorder]:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path))
    before = faults.counts()
    recorder = Recorder()
    recorder.install()
    yield recorder
    instrumentors.uninstall()
    assert faults.counts() == before


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


def test_results_of_anthropic_are_records_once(recorder):
    """What was canceled was never answered."""
    send("POST", MESSAGES, {"id": "msgbatch_1", "processing_status": "in_progress"})
    send("GET", f"{MESSAGES}/msgbatch_1/results", lines(ANTHROPIC))
    send("GET", f"{MESSAGES}/msgbatch_1/results", lines(ANTHROPIC))
    assert (recorder.only["provider"], recorder.only["prompt_tokens"]) == ("anthropic", 10)
    assert recorder.only["pricing_tier"] == "batch"


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
