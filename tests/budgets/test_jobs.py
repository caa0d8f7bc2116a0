"""Budgets and calls whose answer is a job: charged the most it can cost while it is under way, then what it did cost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import spectra_otel as spectra
from spectra_otel.demo.provider import LocalProvider

VIDEOS, RESPONSES = "https://api.openai.com/v1/videos", "https://api.openai.com/v1/responses"
VIDEO = {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "seconds": "4", "size": "1280x720"}
RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-4o", "status": "queued", "background": True}
ASKED = {"model": "gpt-4o", "input": "hello", "background": True, "max_output_tokens": 1000}


def send(method: str, url: str, answer: dict[str, Any], body: dict[str, Any] | None = None) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    with httpx.Client(transport=transport) as client:
        client.request(method, url, json=body)


def charged() -> tuple[float, int]:
    """Cents and requests that the budget has counted."""
    spectra.force_flush()
    [row] = spectra.budgets.status("all")
    assert row.reserved_cost_in_cents == 0
    return float(row.settled_cost_in_cents), row.settled_requests


@pytest.fixture(autouse=True)
def budget(app: LocalProvider) -> None:
    spectra.budgets.set("all", cost="1 USD", period="total")


def test_a_video_counts_from_its_start() -> None:
    """A second one finds no room while the first is being made, nor afterwards."""
    send("POST", VIDEOS, VIDEO, {"model": "sora-2", "prompt": "a dog", "seconds": "8"})
    assert charged() == (80, 1)
    send("POST", VIDEOS, {**VIDEO, "id": "video_2"}, {"model": "sora-2", "prompt": "a cat", "seconds": "4"})
    send("GET", f"{VIDEOS}/video_1", {**VIDEO, "status": "completed", "seconds": "8"})
    assert charged() == (80, 1)


def test_a_job_is_charged_what_it_took_once_that_is_known() -> None:
    """Its bound makes room for the answer's own usage, however often it is asked after."""
    send("POST", RESPONSES, RESPONSE, ASKED)
    before, _ = charged()
    assert before > 1
    usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
    for _ in range(2):
        send("GET", f"{RESPONSES}/resp_1", {**RESPONSE, "status": "completed", "output": [], "usage": usage})
        assert charged() == (pytest.approx(0.1025), 1)


def test_a_job_that_failed_is_charged_as_other_failed_calls() -> None:
    """Its input, which is next to nothing for a video."""
    send("POST", VIDEOS, VIDEO, {"model": "sora-2", "prompt": "a dog", "seconds": "4"})
    assert charged() == (40, 1)
    send("GET", f"{VIDEOS}/video_1", {**VIDEO, "status": "failed", "error": {"code": "x", "message": "no"}})
    assert charged() == (0, 1)
