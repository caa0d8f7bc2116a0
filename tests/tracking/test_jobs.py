"""What is kept of jobs that are not done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from spectra_otel.tracking.jobs import Jobs


def becomes_true(says: Callable[[], bool]) -> bool:
    """Whether it is so before a minute has passed: files are written by a thread."""
    end = time.monotonic() + 60
    while not says() and time.monotonic() < end:
        time.sleep(0.01)
    return says()


def test_parts_that_were_recorded_are_known_in_every_process(tmp_path: Path) -> None:
    """A page of results adds its lines to a file, and whoever looks at the next page reads what came since."""
    here, there = Jobs(tmp_path), Jobs(tmp_path)
    assert here.seen("xai", "b") == set()
    written: set[str] = set()
    for page in range(3):
        written.update(f"{page}-{row}" for row in range(2))
        here.add_seen("xai", "b", [f"{page}-{row}" for row in range(2)])
        assert here.seen("xai", "b") == written
        assert becomes_true(lambda: there.seen("xai", "b") == written)
    [kept] = tmp_path.iterdir()
    assert len(kept.read_text().splitlines()) == 6
    there.add_seen("xai", "b", ["9-9"])
    assert becomes_true(lambda: "9-9" in here.seen("xai", "b"))


def test_what_was_remembered_last_is_what_is_written(tmp_path: Path) -> None:
    """A job that is remembered again before its file is written has the later fields there."""
    jobs = Jobs(tmp_path)
    jobs.remember("xai", "b", {"id": "b", "model": "old"})
    jobs.remember("xai", "b", {"id": "b", "model": "new"})
    assert becomes_true(lambda: Jobs(tmp_path).find("xai", "b") == {"id": "b", "model": "new"})
