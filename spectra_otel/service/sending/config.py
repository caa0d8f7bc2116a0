"""``sending_queue`` and ``retry_on_failure``, named and defaulted as the collector's exporterhelper."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from spectra_otel.component import ComponentID
from spectra_otel.config.durations import Duration
from spectra_otel.errors import ConfigError
from spectra_otel.sdk.span_export import SpanSettings


@dataclass(slots=True)
class RetryOnFailure:
    """When a request that failed for now is sent again."""

    enabled: bool = True
    initial_interval: Duration = Duration(5)  # noqa: RUF009  (durations are immutable)
    randomization_factor: float = 0.5
    multiplier: float = 1.5
    max_interval: Duration = Duration(30)  # noqa: RUF009
    max_elapsed_time: Duration = Duration(300)  # noqa: RUF009
    """After so long a request is given up; 0 never gives up."""

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        for name in ("initial_interval", "max_interval", "max_elapsed_time", "multiplier"):
            if getattr(self, name) < 0:
                raise ConfigError(f"retry_on_failure::{name}: got '{getattr(self, name)}', valid: 0 or more")
        if not 0 <= self.randomization_factor <= 1:
            raise ConfigError(
                f"retry_on_failure::randomization_factor: got '{self.randomization_factor}', valid: 0 to 1"
            )
        for name in ("initial_interval", "max_interval"):
            if 0 < self.max_elapsed_time < getattr(self, name):
                raise ConfigError(f"retry_on_failure: 'max_elapsed_time' must not be less than '{name}'")


@dataclass(slots=True)
class QueueBatch:
    """Requests that wait are sent as one."""

    flush_timeout: Duration = Duration(0.2)  # noqa: RUF009
    """The first of a batch waits for company no longer than this."""
    min_size: int = 8192
    max_size: int = 0
    """0: no limit. Of traces a larger request is split; one of another signal goes out as it is."""
    sizer: Literal["", "items", "bytes"] = ""
    """Empty: that of the queue, or ``items`` where it counts requests."""

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        if self.flush_timeout <= 0:
            raise ConfigError("sending_queue::batch: `flush_timeout` must be positive")
        for name in ("min_size", "max_size"):
            if getattr(self, name) < 0:
                raise ConfigError(f"sending_queue::batch: `{name}` must be non-negative")
        if 0 < self.max_size < self.min_size:
            raise ConfigError("sending_queue::batch: `max_size` must be greater or equal to `min_size`")


@dataclass(slots=True)
class SendingQueue:
    """Where requests wait. Always on disk: an acknowledged request outlives the process."""

    without_effect: ClassVar[frozenset[str]] = frozenset(("wait_for_result",))

    enabled: bool = True
    """False: the sender is answered when the backend has answered."""
    num_consumers: int = 10
    queue_size: int = 1000
    sizer: Literal["requests", "items", "bytes"] = "requests"
    block_on_overflow: bool = False
    """True: a full queue makes senders wait; False: they are asked to try again."""
    storage: str = ""
    """Id of a ``file_storage`` extension; empty: a folder in ``SPECTRA_HOME``."""
    wait_for_result: bool = False
    """Of no effect."""
    batch: QueueBatch | None = None
    """Absent: each request is sent for itself."""

    def __post_init__(self) -> None:
        if self.batch is not None and not self.batch.sizer:
            self.batch = replace(self.batch, sizer="bytes" if self.sizer == "bytes" else "items")

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        if not self.enabled:
            return
        for name in ("num_consumers", "queue_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sending_queue::{name}: got '{getattr(self, name)}', valid: 1 or more")
        if self.storage:
            ComponentID.parse(self.storage)
        if self.storage and self.wait_for_result:
            raise ConfigError(
                "sending_queue: `wait_for_result` is not supported with a persistent queue configured with `storage`"
            )
        if self.batch is not None:
            self.batch.validate()
            if self.batch.sizer == self.sizer and self.batch.min_size > self.queue_size:
                raise ConfigError("sending_queue: `min_size` must be less than or equal to `queue_size`")


@dataclass(slots=True)
class SendingSettings(SpanSettings):
    """Settings of every exporter that sends OTLP on."""

    retry_on_failure: RetryOnFailure = field(default_factory=RetryOnFailure)
    sending_queue: SendingQueue = field(default_factory=SendingQueue)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot be."""
        SpanSettings.validate(self)
        self.retry_on_failure.validate()
        self.sending_queue.validate()
