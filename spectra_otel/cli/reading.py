"""A :class:`~spectra_otel.cli.documents.SpanReader` in a process of its own, for long imports on more than one core.

JSON is parsed there; spans come over a pipe as plain tuples (:mod:`marshal`, both ends being this Python), which costs the
importing process a third of what parsing would. ``python -m spectra_otel.cli.reading FILE…`` is the other end.
"""

from __future__ import annotations

import gc
import marshal
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from opentelemetry.sdk.trace import ReadableSpan

from spectra_otel.cli.documents import SpanReader, in_batches
from spectra_otel.errors import SpectraError
from spectra_otel.otlp.rows import fold, pack, unpack

_LENGTH = struct.Struct("<Q")


@dataclass(slots=True)
class RemoteSpanReader:
    """Iterates as a :class:`SpanReader` does, and gathers the same ``faults``."""

    paths: Sequence[Path]
    on_bytes: Callable[[int], None] = lambda _: None
    faults: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[ReadableSpan]]:
        command = [sys.executable, "-m", __name__, *map(str, self.paths)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                while (frame := _receive(process.stdout)) is not None:
                    count, faults, *packed = frame
                    self.on_bytes(count)
                    self.faults += faults
                    yield from in_batches(unpack(*packed))
            finally:
                process.stdout.close()  # ends it, if it has not ended
        if process.returncode:
            raise SpectraError(f"reading {self.paths[0]} … ended with status {process.returncode}")


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH.size)
    return marshal.loads(pipe.read(_LENGTH.unpack(head)[0])) if head else None


def main(paths: Sequence[str]) -> None:
    """Read files and write frames to stdout: bytes read, faults, and what :func:`pack` makes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # JSON has no cycles, and looking for them takes a third of the time
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size

    reader = SpanReader([Path(path) for path in paths], count)
    try:
        for rows in reader.rows(fold):
            frame = marshal.dumps((read, reader.faults, *pack(rows)))
            sys.stdout.buffer.write(_LENGTH.pack(len(frame)) + frame)
            sys.stdout.buffer.flush()
            reader.faults, read = [], 0
    except BrokenPipeError:  # nobody listens any more
        sys.stderr.close()


if __name__ == "__main__":
    main(sys.argv[1:])
