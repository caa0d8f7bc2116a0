"""Files that cannot be read twice as they are, compressed ones and pipes: their content goes into temporary files."""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from spectra_otel.errors import SpectraError

STDIN = Path("-")
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Unpacked:
    """Paths that can be read, in the order given, and what could not be unpacked."""

    paths: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _given: dict[Path, Path] = field(default_factory=dict)

    def named(self, message: str) -> str:
        """A message about a file, with its name as it was given."""
        for made, given in self._given.items():
            message = message.replace(str(made), str(given))
        return message


@contextmanager
def unpacked(paths: Sequence[Path]) -> Iterator[Unpacked]:
    """Files of gzip and zstd, pipes and ``-`` (stdin) as temporary files; the others as they are.

    Raises :class:`SpectraError` for zstd where its package is not installed, and the :class:`OSError` of a full disk.
    """
    found = Unpacked()
    with tempfile.TemporaryDirectory(prefix="spectra-import-") as folder:
        for number, path in enumerate(paths):
            with sys.stdin.buffer if path == STDIN else path.open("rb") as file:
                opener = _opener(path, file)
                if opener is None and path.is_file():
                    found.paths.append(path)
                    continue
                made = Path(folder) / f"{number}"
                with made.open("wb") as target:
                    fault = _copy(file if opener is None else opener(file), target)
                if fault:
                    found.faults.append(f"{path}: cannot be unpacked to its end: {fault}")
                found.paths.append(made)
                found._given[made] = path
        yield found


def _copy(source: Any, target: IO[bytes]) -> str:
    """All that can be read, and why there is no more of it."""
    while True:
        try:
            chunk = source.read1(_CHUNK_BYTES)
        except Exception as error:  # each way of packing has errors of its own
            return str(error)
        if not chunk:
            return ""
        target.write(chunk)


def _opener(path: Path, file: Any) -> Callable[[IO[bytes]], Any] | None:
    magic = file.peek(4)[:4]
    if magic.startswith(b"\x1f\x8b"):
        return lambda packed: gzip.GzipFile(fileobj=packed)
    if magic != b"\x28\xb5\x2f\xfd":
        return None
    try:
        import zstandard
    except ImportError:
        raise SpectraError(
            f"{path}: zstd needs zstandard, which is not installed: pip install 'spectra-otel[collector]'"
        ) from None
    return lambda packed: zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
