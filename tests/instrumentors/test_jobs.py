"""Jobs that are polled: one record, made by the POST and completed once by whoever sees the job done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal

import httpx2

PENDING = {"id": "p1", "model": "stability-ai/sdxl", "status": "starting", "output": None}
DONE = {**PENDING, "status": "succeeded", "output": ["https://x/1.png"], "metrics": {"predict_time": 2.5}}
VIDEO = {"id": "video_1", "object": "video", "status": "queued", "model": "sora-2", "seconds": "4", "size": "1280x720"}


def send(method: str, url: str, answer: object, body: object = None, status: int = 200) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, json=answer))
    with httpx2.Client(transport=transport) as client:
        client.request(method, url, json=body)


PREDICTIONS = "https://api.replicate.com/v1/predictions"


def test_a_job_is_completed_once(recorder):
    """The POST's record does not know its cost; the first GET that sees the job done completes it, later ones do nothing."""
    send("POST", PREDICTIONS, PENDING, {"version": "abc", "input": {}}, 201)
    assert (recorder.only["cost_status"], recorder.only["provider"]) == ("billed_unknown", "replicate")
    send("GET", f"{PREDICTIONS}/p1", {**PENDING, "status": "processing"})
    assert recorder.completed == []
    send("GET", f"{PREDICTIONS}/p1", DONE)
    send("GET", f"{PREDICTIONS}/p1", DONE)
    [done] = recorder.completed
    span = recorder.only["_span"].context
    assert done["id"] == f"{span.trace_id:032x}-{span.span_id:016x}"
    assert (done["compute_seconds"], done["image_count"], done.get("cost_status")) == (2.5, 1, None)
    assert len(recorder.records) == 1


def test_a_prediction_that_is_cancelled_is_over(recorder):
    """It took what it took."""
    send("POST", PREDICTIONS, PENDING, {"version": "abc", "input": {}}, 201)
    send("POST", f"{PREDICTIONS}/p1/cancel", {**PENDING, "status": "canceled", "metrics": {"predict_time": 1.2}})
    [done] = recorder.completed
    assert (done["is_failed"], done["error_message"], done["compute_seconds"]) == (True, "canceled", 1.2)


def test_a_job_of_nobody_makes_no_record(recorder):
    """A GET of an id that we never saw is skipped."""
    send("GET", f"{PREDICTIONS}/unknown", DONE)
    assert (recorder.records, recorder.completed) == ([], [])


def test_an_error_of_a_poll_says_nothing_of_the_job(recorder):
    """The next one may."""
    send("POST", "https://api.openai.com/v1/videos", VIDEO, {"model": "sora-2", "prompt": "a dog", "seconds": "4"})
    send("GET", "https://api.openai.com/v1/videos/video_1", {"error": {"message": "busy"}}, status=503)
    send("GET", "https://api.openai.com/v1/videos/video_1", {**VIDEO, "status": "completed"})
    [done] = recorder.completed
    assert (done["video_count"], done["duration_seconds"], done["video_resolution"]) == (1, 4.0, "1280x720")


def test_a_failed_job_is_a_failed_record(recorder):
    """Its error is the record's."""
    send("POST", "https://api.openai.com/v1/videos", VIDEO, {"model": "sora-2"})
    failed = {**VIDEO, "status": "failed", "error": {"code": "moderation_blocked", "message": "no"}}
    send("GET", "https://api.openai.com/v1/videos/video_1", failed)
    [done] = recorder.completed
    assert (done["is_failed"], done["error_type"]) == (True, "moderation_blocked")


def test_a_background_response_is_completed_with_its_usage(recorder):
    """OpenAI's Responses in background mode."""
    queued = {"id": "resp_1", "object": "response", "status": "queued", "model": "o3", "usage": None, "output": []}
    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    send("POST", "https://api.openai.com/v1/responses", queued, {"model": "o3", "input": "x", "background": True})
    send("GET", "https://api.openai.com/v1/responses/resp_1", {**queued, "status": "completed", "usage": usage})
    [done] = recorder.completed
    assert (done["prompt_tokens"], done["completion_tokens"], done["finish_reason"]) == (10, 20, "completed")


def test_a_background_response_of_a_region_is_completed_there(recorder):
    """Which its price depends on."""
    queued = {"id": "resp_9", "object": "response", "status": "queued", "model": "gpt-5.4", "usage": None, "output": []}
    host = "https://eu.api.openai.com/v1/responses"
    send("POST", host, queued, {"model": "gpt-5.4", "input": "x", "background": True})
    send("GET", f"{host}/resp_9", {**queued, "status": "completed", "usage": USED})
    assert recorder.completed[0]["usage_raw"] == {**USED, "inference_geo": "eu"}


RESPONSES = "https://api.openai.com/v1/responses"
USED = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
BEGUN = {
    "id": "resp_2",
    "object": "response",
    "status": "in_progress",
    "model": "o3",
    "background": True,
    "usage": None,
}
DELTA = {"type": "response.output_text.delta", "delta": "hello"}
FINISHED = {"type": "response.completed", "response": {**BEGUN, "status": "completed", "output": [], "usage": USED}}


def send_events(method: str, url: str, *events: dict, body: object = None) -> None:
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    answer = httpx2.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        client.request(method, url, json=body)


def test_a_background_response_goes_on_when_its_stream_is_left(recorder):
    """It is a job then: the stream that takes it up where it was left completes the record, a cut one does not."""
    created = {"type": "response.created", "response": BEGUN}
    ask = {"model": "o3", "input": "x", "background": True, "stream": True}
    send_events("POST", RESPONSES, created, DELTA, body=ask)
    assert (recorder.only["cost_status"], recorder.only.get("is_aborted")) == ("billed_unknown", None)
    send_events("GET", f"{RESPONSES}/resp_2?stream=true&starting_after=2", DELTA)
    assert recorder.completed == []
    send_events("GET", f"{RESPONSES}/resp_2?stream=true&starting_after=2", DELTA, FINISHED)
    [done] = recorder.completed
    assert (done["prompt_tokens"], done["completion_tokens"], done.get("is_aborted")) == (10, 20, None)


def test_a_background_response_that_is_cancelled_is_over(recorder):
    """With what it had used by then, where the answer says."""
    for used, status in ((USED, None), (None, "billed_unknown")):
        send("POST", RESPONSES, BEGUN, {"model": "o3", "input": "x", "background": True})
        send("POST", f"{RESPONSES}/resp_2/cancel", {**BEGUN, "status": "cancelled", "usage": used})
        done = recorder.completed.pop()
        assert (done.get("completion_tokens"), done.get("cost_status")) == (20 if used else None, status)


POLLER = """
import json, sys, httpx2, spectra_otel as spectra
spectra.configure()
said = []
spectra.on(spectra.RequestTracked)(said.append)
answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json=json.loads(sys.argv[3])))
with httpx2.Client(transport=answer) as client:
    client.request(sys.argv[1], sys.argv[2], json={"version": "abc", "model": "sora-2", "prompt": "x", "seconds": "4"})
spectra.force_flush(10); spectra.shutdown()
print(len(said), *(event.request["cost_status"] for event in said))
"""


def test_another_process_completes_the_record_and_prices_it(tmp_path):
    """One row in the store: made by one process without a cost, completed by the next, which alone announces it."""
    env = {**os.environ, "SPECTRA_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-W", "error", "-c", POLLER, *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    assert run("POST", "https://api.openai.com/v1/videos", json.dumps(VIDEO)) == "0"
    finished = json.dumps({**VIDEO, "status": "completed"})
    assert run("GET", "https://api.openai.com/v1/videos/video_1", finished) == "1 priced"
    sql = "select cost_status, video_count, total_cost_in_cents from spectra_requests"
    asked = [sys.executable, "-m", "spectra_otel.cli", "query", sql, "--format", "json"]
    found = subprocess.run(asked, env=env, check=True, capture_output=True, text=True, timeout=60)
    [row] = json.loads(found.stdout)
    assert (row["cost_status"], row["video_count"]) == ("priced", 1)
    assert Decimal(str(row["total_cost_in_cents"])) == 40
