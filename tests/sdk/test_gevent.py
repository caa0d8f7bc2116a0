"""Apps whose threads are greenlets: calls are recorded, and a fork waits for nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spectra_otel.demo.provider import LocalProvider
from tests.sdk.support import environment, stored

pytest.importorskip("gevent")

PATCHED = "from gevent import monkey; monkey.patch_all()\nimport gevent\n"
CALLS = """
import platform; platform.platform()
import openai
import spectra_otel as spectra
spectra.configure()
client = openai.OpenAI(base_url={url!r}, api_key="x")
def call():
    return client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "hello"}}])
calls = [gevent.spawn(call) for _ in range(10)]
gevent.joinall(calls)
print(sum(one.value is not None for one in calls))
"""
FORK = """
from threading import Lock
from spectra_otel.forks import take
held, free, ran = Lock(), Lock(), []
held.acquire()
gevent.spawn(ran.append, "another")
print(take(held), take(held, 0.1), take(free), ran)
"""


def run(home: Path, code: str, **environ: str) -> str:
    """What a program prints whose threads are greenlets; it says nothing else."""
    ran = subprocess.run(
        [sys.executable, "-c", PATCHED + code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(home), **environ},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_every_call_of_a_greenlet_is_recorded(tmp_path: Path) -> None:
    """Ten at once, as the documentation has it: the machine's name is asked for before."""
    with LocalProvider() as server:
        url = server.url("openai") + "/v1"
        assert run(tmp_path, CALLS.format(url=url), SPECTRA_PROVIDER_HOSTS=server.hosts) == "10"
    assert len(stored(tmp_path)) == 10


def test_a_fork_waits_for_no_greenlet(tmp_path: Path) -> None:
    """Who has the lock would run within the fork, and may fork as well."""
    assert run(tmp_path, FORK) == "False False True []"
