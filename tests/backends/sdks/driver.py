"""Runs inside an environment: makes the calls of one app and prints, a JSON line each, what was served and what was recorded.

``python driver.py clients`` runs ``apps/clients.py``, whose ``CASES`` are named ``<what>/<how>``. How it ends says how the
server behaves: ``error`` fails with status 400, which has to reach the app as an exception; ``early`` is a stream that takes
its time, so that it can be left; ``job`` is answered when it is asked for again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectra_otel import faults, testing

sys.path.insert(0, str(Path(__file__).parent))

from replay import Replay  # type: ignore[import-not-found]  # found by the line above, in a process of its own

OPENAI = {"prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1024, "reasoning_tokens": 64}
USAGE = {
    "anthropic": {
        "prompt_tokens": 1500, "completion_tokens": 300, "cached_tokens": 1024, "cache_write_tokens": 200,
        "cache_write_1h_tokens": 80,
    },
    "cohere": {"prompt_tokens": 1200, "completion_tokens": 300},
    "ollama": {"prompt_tokens": 1200, "completion_tokens": 300},
    "replicate": {"image_count": 1},
    "elevenlabs": {"input_characters": 11},
    "fal": {"image_count": 1},
}  # fmt: skip
"""Provider → what it bills for each call; the others as OpenAI."""


def run(name: str, call: Callable[[Replay], Any], server: Replay) -> dict[str, Any]:
    """One case: what the server served, what was recorded, and the exception that the app saw."""
    what, how = name.split("/")
    server.ledger.clear()
    server.usage = USAGE.get(what.partition("-")[0], OPENAI)
    server.status = 400 if how.startswith("error") else 0
    # An answer takes time: spans that only overlap are one call where most of the shorter one is shared.
    takes_time = how.startswith("stream") or how.endswith("its own spans")
    server.pause = 0.05 if how.startswith("early") else 0.01 if takes_time else 0.0
    server.answers_at_once = not how.startswith("job")
    raised = ""
    with testing.fake() as spectra:
        try:
            result = call(server)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except Exception as error:
            raised = f"{type(error).__module__}.{type(error).__name__}: {error}"
        gc.collect()
        records = [{key: str(value) for key, value in r.known().items()} for r in spectra.requests]
    lines = [dataclasses.asdict(line) for line in server.ledger]
    return {
        "case": name,
        "raised": raised,
        "records": records,
        "ledger": lines,
        "faults": sum(faults.counts().values()),
    }


def main(app: str) -> None:
    """Run all cases of an app. What its libraries print goes elsewhere."""
    results, sys.stdout = sys.stdout, sys.stderr
    with Replay() as server:
        os.environ["SPECTRA_PROVIDER_HOSTS"] = server.hosts
        cases: dict[str, Callable[[Replay], Any]] = importlib.import_module(f"apps.{app}").CASES
        for name, call in cases.items():
            print(json.dumps(run(name, call, server)), file=results, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
