"""What sends a queue's requests outlives whatever a transport raises."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from pathlib import Path

import pytest

from spectra_otel import faults
from spectra_otel.otlp.signals import TRACES, Signal
from spectra_otel.service.sending.config import SendingQueue, SendingSettings
from spectra_otel.service.sending.disk_queue import QueueFullError
from spectra_otel.service.sending.sender import Sender
from spectra_otel.service.telemetry import Telemetry


class Odd:
    """A transport that fails in a way nobody foresaw at its first request."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.got_one = threading.Event()

    def send(self, signal: Signal, body: bytes) -> None:
        if body == b"odd":
            raise ValueError("odd")
        self.sent.append(body)
        self.got_one.set()

    def close(self) -> None:
        """There is nothing to close."""


class Hanging:
    """A transport whose backend never answers, until the test has ended."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.waiting = threading.Semaphore(0)

    def send(self, signal: Signal, body: bytes) -> None:
        self.waiting.release()
        self.ends.wait()

    def close(self) -> None:
        """There is nothing to close."""


def test_a_backend_that_hangs_delays_the_end_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests it holds: they stay on disk."""
    monkeypatch.setattr("spectra_otel.service.sending.sender._DRAIN_SECONDS", 1.0)
    transport = Hanging()
    sender = Sender(
        "otlp_http", transport, SendingSettings(sending_queue=SendingQueue(num_consumers=20)), tmp_path, Telemetry()
    )
    for _ in range(20):
        sender.offer(TRACES, b"x", 1)
        assert transport.waiting.acquire(timeout=60)
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 15  # one second for each would be 21
    assert len(list(tmp_path.rglob("*.traces"))) == 20
    transport.ends.set()


def test_a_request_that_cannot_be_sent_does_not_keep_those_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays on disk, which is said; the next one goes out."""
    monkeypatch.setattr("spectra_otel.service.sending.sender._DRAIN_SECONDS", 0.1)
    transport = Odd()
    settings = SendingSettings(sending_queue=SendingQueue(num_consumers=1))
    sender = Sender("otlp_http", transport, settings, tmp_path, Telemetry())
    before = sum(faults.counts().values())
    sender.offer(TRACES, b"odd", 1)
    sender.offer(TRACES, b"next", 1)
    assert transport.got_one.wait(60)
    sender.stop()
    assert transport.sent == [b"next"]
    assert sum(faults.counts().values()) == before + 1
    assert [path.read_bytes() for path in tmp_path.rglob("*.traces")] == [b"odd"]


def test_what_a_queue_cannot_take_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full, or on a disk that is: senders are refused, and whoever runs the collector hears why."""
    monkeypatch.setattr("spectra_otel.service.sending.sender._DRAIN_SECONDS", 0.1)
    transport = Hanging()
    sender = Sender(
        "otlp_http", transport, SendingSettings(sending_queue=SendingQueue(queue_size=2)), tmp_path, Telemetry()
    )

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sender.offer(TRACES, b"x", 1)
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            sender.offer(TRACES, b"x", 3)
    sender.offer(TRACES, b"x", 1)
    with pytest.raises(QueueFullError):
        sender.offer(TRACES, b"x", 5)
    said = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    assert [message for message, _ in said] == ["Exporting failed. Rejecting data."] * 2
    assert [(found["error"], found["rejected_items"]) for _, found in said] == [
        ("[Errno 28] No space left on device", 3),
        ("sending queue is full", 5),
    ]
    transport.ends.set()
    sender.stop()


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited in it is gone; what comes is kept."""
    monkeypatch.setattr("spectra_otel.service.sending.sender._DRAIN_SECONDS", 0.1)
    transport = Hanging()
    settings = SendingSettings(sending_queue=SendingQueue(num_consumers=1))
    sender = Sender("otlp_http", transport, settings, tmp_path / "queue", Telemetry())
    sender.offer(TRACES, b"x", 1)
    shutil.rmtree(tmp_path / "queue")
    sender.offer(TRACES, b"x", 1)
    assert len(list(tmp_path.rglob("*.traces"))) == 1
    transport.ends.set()
    sender.stop()
