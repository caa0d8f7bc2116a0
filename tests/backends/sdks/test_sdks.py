"""The clients and frameworks that apps use, in their newest versions: one right record for each answer of the provider.

What runs in an environment is ``apps/<environment>.py``; what is expected of each case is told here.
"""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import spectra_otel
from tests.backends.sdks.environments import python_of

HERE = Path(__file__).parent
OPENROUTER_CENTS = Decimal("1.23")
COUNTS = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
    "audio_prompt_tokens", "audio_completion_tokens", "image_count", "input_characters",
)  # fmt: skip
APPS = ("clients", "google", "langchain", "pydantic_ai", "openai_agents", "litellm", "llama_index", "instructor", "xai")

pytestmark = [pytest.mark.backend, pytest.mark.timeout(600)]
Result = dict[str, Any]


@cache
def results(app: str) -> dict[str, Result]:
    """What came of each case of an app, run in its environment. Faults at home, such as a missing import, are said here."""
    command = [python_of("clients" if app == "xai" else app), HERE / "driver.py", app]
    with TemporaryDirectory() as home:
        environment = {**os.environ, "SPECTRA_HOME": home}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {result["case"]: result for result in map(json.loads, done.stdout.splitlines())}


def of_kind(app: str, how: str) -> dict[str, Result]:
    """The cases of one kind, at least one."""
    found = {name: result for name, result in results(app).items() if name.split("/")[1].startswith(how)}
    if not found:
        pytest.skip(f"{app} has no such case")
    return found


def pairs_of(result: Result) -> list[tuple[Result, Result]]:
    """Each answer with its record; there are as many of the one as of the other."""
    served, records = result["ledger"], result["records"]
    assert served, "the provider was not called"
    assert [r.get("endpoint", "") for r in records] == [s["endpoint"] for s in served], result["case"]
    assert not result["faults"], result["case"]
    return list(zip(served, records, strict=True))


def check_call(case: str, served: Result, record: Result) -> None:
    """Who served what, in which model."""
    assert record["provider"] == served["provider"], case
    assert record["model"] == served["model"], case
    if served["endpoint"]:  # gRPC has neither a path nor a status of HTTP
        assert int(record["status_code"]) == served["status_code"], case
    if served["response_id"] and "response_id" in record:
        assert record["response_id"] == served["response_id"], case
    if "snapshot" in record:
        assert record["snapshot"] == served["snapshot"], case


def check_cost(case: str, served: Result, record: Result) -> None:
    """Every bucket as served, and the cost of just those, to the last digit."""
    assert {n: int(record.get(n, 0)) for n in COUNTS} == {n: served["usage"].get(n, 0) for n in COUNTS}, case
    cost = spectra_otel.estimate(served["provider"], record.get("snapshot", served["model"]), **served["usage"])
    expected = OPENROUTER_CENTS if served["provider"] == "openrouter" else cost.total_cost_in_cents
    status = "provider" if served["provider"] == "openrouter" else cost.cost_status
    assert (Decimal(record["total_cost_in_cents"]), record["cost_status"]) == (expected, status), case
    assert expected is not None, case


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("how", ["plain", "stream", "job"])
def test_an_answer_is_recorded_once_and_priced_to_the_last_digit(app: str, how: str) -> None:
    """One record per answer, with its provider, its snapshot, every count and the cost of these counts."""
    for case, result in of_kind(app, how).items():
        assert not result["raised"], case
        for served, record in pairs_of(result):
            check_call(case, served, record)
            check_cost(case, served, record)
            assert record["is_failed"] == "False", case
            assert "is_aborted" not in record, case


@pytest.mark.parametrize("app", APPS)
def test_a_stream_closed_early_is_an_estimate(app: str) -> None:
    """What was delivered is counted, the record says so, and the cost is positive and called an estimate."""
    for case, result in of_kind(app, "early").items():
        for served, record in pairs_of(result):
            check_call(case, served, record)
            if "input_characters" in served["usage"]:  # billed by what was sent, whatever was fetched
                check_cost(case, served, record)
                continue
            if app == "xai":  # its span ends without a word of what was delivered
                assert (record["cost_status"], record.get("total_cost_in_cents")) == ("unpriced", None), case
                continue
            assert record["is_aborted"] == "True", case
            assert record["is_streaming"] == "True", case
            assert int(record["prompt_tokens"]) > 0, case
            assert 0 < int(record["completion_tokens"]) < served["usage"]["completion_tokens"], case
            assert record["cost_status"] == ("free" if served["provider"] == "ollama" else "estimated"), case


@pytest.mark.parametrize("app", APPS)
def test_an_error_is_recorded_and_reaches_the_app(app: str) -> None:
    """A refused call costs nothing; the app gets the exception of its library."""
    for case, result in of_kind(app, "error").items():
        assert result["raised"], case
        for served, record in pairs_of(result):
            check_call(case, served, record)
            assert record["is_failed"] == "True", case
            assert (record["cost_status"], Decimal(record["total_cost_in_cents"])) == ("not_billed", 0), case


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_other_instrumentations_beside_ours_add_no_record(provider: str) -> None:
    """One right record per answer with each other instrumentation, and with each two of them, active on the same call."""
    for case, result in results("pairs").items():
        if case.startswith(provider):
            assert not result["raised"], case
            for served, record in pairs_of(result):
                check_call(case, served, record)
                check_cost(case, served, record)


def test_web_frameworks_and_task_queues_say_whose_call_it_was() -> None:
    """Under FastAPI, Django, Flask and Celery each call is recorded once, for the user of its request or task."""
    for case, result in results("web").items():
        assert not result["raised"], case
        for served, record in pairs_of(result):
            check_cost(case, served, record)
            assert record["user_id"] == "ada", case
