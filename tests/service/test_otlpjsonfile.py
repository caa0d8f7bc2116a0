"""The receiver `otlpjsonfile`: each line of a file once, whatever becomes of the file or of the collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spectra_otel.errors import ConfigError
from spectra_otel.service.otlpjsonfile_receiver import followed
from tests.exporters.servers import Received, http_server
from tests.service.running import Running, running, tree
from tests.service.test_collector import until


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_HOME", str(tmp_path / "home"))


def lines(*names: str) -> bytes:
    """Requests with one span each, of these names."""
    form = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"%s"}]}]}]}\n'
    return b"".join((form % (number, number, name)).encode() for number, name in enumerate(names, 1))


def append(path: Path, data: bytes) -> None:
    """Write at the end of a file."""
    with path.open("ab") as file:
        file.write(data)


@contextmanager
def following(received: Received, include: Path, **settings: Any) -> Iterator[Running]:
    """A collector that reads files and waits for its backend."""
    backend = {
        "endpoint": received.endpoint,
        "sending_queue": {"enabled": False},
        "retry_on_failure": {"enabled": False},
    }
    extensions = settings.pop("extensions", {})
    config = tree({"otlp_http": backend}, extensions=extensions, service={"extensions": list(extensions)})
    config["receivers"] = {"otlpjsonfile/a": {"include": [str(include)], "poll_interval": "20ms", **settings}}
    config["service"] |= {
        "telemetry": {"metrics": {"level": "none"}},
        "pipelines": {"traces": {"receivers": ["otlpjsonfile/a"], "exporters": ["otlp_http"]}},
    }
    with running(config) as collector:
        yield collector


def names(received: Received) -> list[str]:
    """What arrived."""
    return [span.name for span in received.spans]


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was written meanwhile is read, whether the file was begun at its end or not; new files are read whole."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("before"))
    with http_server() as received:
        with following(received, tmp_path / "*.json"):
            pass  # nothing to read: what was there is known all the same
        append(path, lines("first") + lines("to")[:20])
        with following(received, tmp_path / "*.json"):
            until(lambda: names(received) == ["first"])
        append(path, lines("to")[20:])
        (tmp_path / "b.json").write_bytes(lines("new"))
        with following(received, tmp_path / "*.json"):
            until(lambda: names(received) == ["first", "to", "new"])
        with following(received, tmp_path / "*.json"):
            append(path, lines("last"))
            until(lambda: len(received.spans) == 4)
        assert names(received) == ["first", "to", "new", "last"]


@pytest.mark.parametrize("pattern", ["a.json", "a*.json"])
def test_a_file_that_is_put_aside_is_read_to_its_end_once(pattern: str, tmp_path: Path) -> None:
    """Rotation: by its new name where that is followed too, and where it is not."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("1"))
    with http_server() as received, following(received, tmp_path / pattern, start_at="beginning"):
        until(lambda: names(received) == ["1"])
        for number in range(2, 6):
            append(path, lines(f"old{number}"))
            path.rename(tmp_path / f"a-{number}.json")
            path.write_bytes(lines(f"new{number}"))
            until(lambda number=number: len(received.spans) == 2 * number - 1)
        assert sorted(names(received)) == ["1", *(f"new{n}" for n in range(2, 6)), *(f"old{n}" for n in range(2, 6))]


def test_a_file_that_is_put_aside_while_it_is_down_is_known_again(tmp_path: Path) -> None:
    """By what it is, not by its name."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("1", "2"))
    with http_server() as received:
        with following(received, tmp_path / "a*.json", start_at="beginning"):
            until(lambda: names(received) == ["1", "2"])
        append(path, lines("3"))
        path.rename(tmp_path / "a-old.json")
        path.write_bytes(lines("4"))
        with following(received, tmp_path / "a*.json", start_at="beginning"):
            until(lambda: len(received.spans) == 4)
        assert names(received) == ["1", "2", "3", "4"]


def test_a_file_that_is_emptied_or_made_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    """Also where it was replaced while the collector was down, by one of the same inode and size."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("1", "2"))
    with http_server() as received:
        with following(received, path, start_at="beginning"):
            until(lambda: names(received) == ["1", "2"])
            path.write_bytes(b"")
            path.write_bytes(lines("3"))
            until(lambda: len(received.spans) == 3)
        path.write_bytes(lines("4"))
        with following(received, path):
            until(lambda: len(received.spans) == 4)
        assert names(received) == ["1", "2", "3", "4"]


def test_a_line_that_no_backend_takes_waits_for_the_next_start(tmp_path: Path) -> None:
    """It is not lost, nor are those behind it; a line that is nonsense is left out."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("1") + b"nonsense\n" + lines("2"))
    with http_server(*[(503, {})] * 1000) as received, following(received, path, start_at="beginning"):
        until(lambda: received.paths)
    assert names(received) == []
    with http_server() as received, following(received, path, start_at="beginning"):
        until(lambda: names(received) == ["1", "2"])


def test_many_files_are_followed_with_few_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have only so many open."""
    monkeypatch.setattr(followed, "_MOST_OPEN", 2)
    kept: list[followed.Files] = []
    begin = followed.Files.__init__
    monkeypatch.setattr(followed.Files, "__init__", lambda self, *a, **k: (kept.append(self), begin(self, *a, **k))[1])
    with http_server() as received, following(received, tmp_path / "*.json"):
        for round_ in range(2):
            for number in range(5):
                append(tmp_path / f"{number}.json", lines(f"{number}.{round_}"))
            until(lambda round_=round_: len(received.spans) == 5 * (round_ + 1))
        until(lambda: sum(file.file is not None for file in kept[0]._files.values()) <= 2)
    assert len(set(names(received))) == 10


def test_a_line_without_end_does_not_keep_those_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the longest there may be it is no request."""
    monkeypatch.setattr(followed, "LONGEST_LINE", 1000)
    path = tmp_path / "a.json"
    path.write_bytes(b"x" * 5000 + b"\n" + lines("1"))
    with http_server() as received, following(received, path, start_at="beginning"):
        until(lambda: names(received) == ["1"])


def test_how_far_it_read_may_be_kept_by_an_extension(tmp_path: Path) -> None:
    """`storage`, as in the collector; one that is not there is an error at the start."""
    path = tmp_path / "a.json"
    path.write_bytes(lines("1"))
    storage = {"file_storage": {"directory": str(tmp_path / "kept"), "create_directory": True}}
    with http_server() as received:
        for _ in range(2):
            with following(received, path, start_at="beginning", storage="file_storage", extensions=storage):
                until(lambda: names(received) == ["1"])
        assert (tmp_path / "kept" / "receiver_otlpjsonfile_a" / "read.json").exists()
        with pytest.raises(ConfigError, match='storage client extension "file_storage" not found'):  # noqa: SIM117
            with following(received, path, storage="file_storage"):
                pass
