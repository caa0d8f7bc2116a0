"""Logs of the collector: their forms, and that one in trouble does not fill the disk with one line."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from spectra_otel.config.decode import decode
from spectra_otel.config.telemetry import Logs, Sampling
from spectra_otel.errors import ConfigError
from spectra_otel.otlp.signals import TRACES, Signal
from spectra_otel.otlp.transport import SendError
from spectra_otel.service import logs
from spectra_otel.service.logs import ConsoleFormatter, JsonFormatter, Sampler
from spectra_otel.service.sending.config import SendingQueue, SendingSettings
from spectra_otel.service.sending.sender import Sender
from spectra_otel.service.telemetry import Telemetry
from tests.service.running import CHAT, request, tree
from tests.service.test_collector import until
from tests.service.test_signals import status


def line(text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("spectra_otel", level, __file__, 1, text, ("value",), None)


@pytest.fixture
def time() -> list[float]:
    """The time, in seconds."""
    return [100.0]


@pytest.fixture
def sampler(time: list[float]) -> Callable[..., Sampler]:
    return lambda **settings: Sampler(decode(settings, Sampling()), lambda: time[0])


def test_ten_in_ten_seconds_then_every_hundredth(sampler: Callable[..., Sampler], time: list[float]) -> None:
    """By level and message, whatever its values; ten seconds later anew."""
    sampled = sampler()
    passed = [number for number in range(1, 311) if sampled.filter(line("failed %s"))]
    assert passed == [*range(1, 11), 110, 210, 310]
    assert sampled.filter(line("other %s"))
    assert sampled.filter(line("failed %s", logging.WARNING))
    time[0] += 9.9
    assert not sampled.filter(line("failed %s"))
    time[0] += 0.2
    assert sum(sampled.filter(line("failed %s")) for _ in range(50)) == 10


def test_settings_are_the_collectors(sampler: Callable[..., Sampler], time: list[float]) -> None:
    """`tick`, `initial`, `thereafter`; nothing further where that is 0."""
    sampled = sampler(tick="1m", initial=1, thereafter=0)
    assert [sampled.filter(line("x")) for _ in range(300)].count(True) == 1
    time[0] += 59
    assert not sampled.filter(line("x"))
    with pytest.raises(ConfigError, match="has invalid keys: often"):
        sampler(often=3)


def test_messages_of_many_kinds_are_forgotten(sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts with a value in them do not fill the memory."""
    monkeypatch.setattr(logs, "_MOST_MESSAGES", 20)
    sampled = sampler()
    size = sys.getsizeof(sampled._seen)
    for number in range(1000):
        assert sampled.filter(line(f"{number}"))
    assert len(sampled._seen) <= 20
    assert sys.getsizeof(sampled._seen) < size + 5_000


def test_json_has_the_keys_of_the_collector() -> None:
    """One object a line, whatever the message holds, with the fields that every line shall have."""
    made = json.loads(JsonFormatter({"cluster": "a"}).format(line("failed\n%s", logging.WARNING)))
    assert made.pop("ts").endswith("Z")
    assert made == {"level": "warn", "logger": "spectra_otel", "msg": "failed\nvalue", "cluster": "a"}


def test_the_console_has_lines_of_the_collector() -> None:
    """Time, level as it writes it, logger, message; fields at the end, and a fault below."""
    record = line("failed\n%s", logging.WARNING)
    moment, *parts = ConsoleFormatter({}).format(record).split("\t")
    assert moment.endswith("Z")
    assert parts == ["warn", "spectra_otel", "failed\nvalue"]
    assert ConsoleFormatter({"cluster": "a"}).format(record).split("\t")[1:] == [*parts, '{"cluster":"a"}']
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert ConsoleFormatter({}).format(record).endswith("ValueError: why")


def test_fields_stand_beside_the_message_under_the_collectors_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that an alert knows a message whatever its values, in both forms."""

    class Refusing:
        def send(self, signal: Signal, body: bytes) -> None:
            raise SendError("http://tempo: HTTP status 400", is_transient=False)

        def close(self) -> None: ...

    settings = SendingSettings(sending_queue=SendingQueue(enabled=False))
    sender = Sender("otlp_http/tempo", Refusing(), settings, tmp_path, Telemetry())
    with pytest.raises(SendError):
        sender.offer(TRACES, b"", 3)
    (record,) = caplog.records
    expected = {
        "cluster": "a", "otelcol.component.id": "otlp_http/tempo", "otelcol.component.kind": "exporter",
        "otelcol.signal": "traces", "error": "http://tempo: HTTP status 400", "dropped_items": 3,
    }  # fmt: skip
    made = json.loads(JsonFormatter({"cluster": "a"}).format(record))
    assert made["msg"] == "Exporting failed. Dropping data."
    assert expected.items() <= made.items()
    *_, message, fields = ConsoleFormatter({"cluster": "a"}).format(record).split("\t")
    assert (message, json.loads(fields)) == (made["msg"], expected)


def test_every_line_is_json_where_that_is_asked(tmp_path: Path) -> None:
    """What is said as the configuration is read, too, and nothing that gRPC writes by itself."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]
        config = tree(
            {"otlphttp": {"endpoint": "http://localhost:1"}, "otlp_grpc": {"endpoint": f"127.0.0.1:{port}"}},
            {"batch": {"metadata_keys": ["${env:SPECTRA_TEST_UNSET}"]}},
        )
        config["service"]["telemetry"]["logs"] = {"encoding": "json"}
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        command = [sys.executable, "-m", "spectra_otel.cli", "collect", "--config", str(tmp_path / "config.yaml")]
        environ = {**os.environ, "SPECTRA_HOME": str(tmp_path)}
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environ, stderr=log) as child:
            try:
                until(lambda: "Everything is ready" in (tmp_path / "log").read_text())
                started = (tmp_path / "log").read_text().split('"endpoint":"127.0.0.1:')[1]
                assert status(int(started.partition('"')[0]), request(CHAT).SerializeToString()) == 200
                plain.accept()[0].close()  # in the middle of a handshake
                until(lambda: "otlp_grpc" in (tmp_path / "log").read_text())
            finally:
                child.terminate()
    messages = [json.loads(line)["msg"] for line in (tmp_path / "log").read_text().splitlines()]
    assert messages[0] == "Configuration references unset environment variable SPECTRA_TEST_UNSET"
    assert {'exporters: "otlphttp" is deprecated, use "otlp_http" instead'} < set(messages)


@pytest.mark.parametrize(("encoding", "zone"), [("console", "Asia/Tokyo"), ("json", "America/New_York")])
def test_times_are_in_utc_and_files_are_written(encoding: str, zone: str, tmp_path: Path) -> None:
    """They end in Z, so they had better be; `output_paths` are files too."""
    path = tmp_path / "collector.log"
    code = (
        "import logging, time\n"
        "from spectra_otel.config.decode import decode\n"
        "from spectra_otel.config.telemetry import Logs\n"
        "from spectra_otel.service import logs\n"
        f"logs.set_up(decode({{'encoding': '{encoding}', 'output_paths': [{str(path)!r}]}}, Logs()))\n"
        "logging.getLogger('spectra_otel.service').info('ready')\n"
        "print(time.strftime('%Y-%m-%dT%H', time.gmtime()))\n"
    )
    environ = {"TZ": zone, "PYTHONPATH": str(Path(__file__).parents[2])}
    hour = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True).stdout
    assert "ready" in path.read_text()
    assert hour.strip() in path.read_text()


def test_a_file_that_was_put_aside_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does it, without a signal."""
    handler, path = logs._handler(str(tmp_path / "x.log")), tmp_path / "x.log"
    handler.handle(line("first %s"))
    path.rename(tmp_path / "x.log.1")
    handler.handle(line("second %s"))
    handler.close()
    assert (path.read_text(), (tmp_path / "x.log.1").read_text()) == ("second value\n", "first value\n")


def test_a_line_that_cannot_be_written_makes_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk is no reason for a traceback a line on standard error; a message that does not fit its values is."""
    handler = logs._handler("/dev/full")
    handler.handle(line("lost %s"))
    assert capsys.readouterr().err == ""
    handler.handle(line("wrong %d"))
    assert "Logging error" in capsys.readouterr().err
    with suppress(OSError):
        handler.close()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """It names the setting."""
    with pytest.raises(ConfigError, match="service::telemetry::logs::output_paths: cannot write"):
        logs.set_up(Logs(output_paths=[str(tmp_path / "nowhere" / "x.log")]))
