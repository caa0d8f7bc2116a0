"""The durable spool: every process puts its records on disk as sealed segments, and nobody else touches the database for it.

A segment is a file of its own, so no two processes ever share one: written under ``*.open``, fsynced, and sealed by a rename
to ``*.ndjson``. What is sealed is acknowledged. First line: a header with row count, length and checksum of the rest; then one
record a line (see :mod:`~spectra_otel.exporters.duckdb.line`).
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from spectra_otel.errors import StoreError

FORMAT = 1
SEALED, OPEN = ".ndjson", ".open"
ORPHAN_SECONDS = 60.0
"""An open file that nobody has written to for so long belongs to a process that died; what is whole in it is merged."""

_SIZE_SECONDS = 1.0
_CHUNK = 1 << 20


class SpoolFullError(StoreError):
    """The spool has reached ``max_spool_bytes``; nothing was written. Transient: a merge makes room."""

    transient = True


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment; ``rows`` is what its name promises, 0 for a file that is not ours."""

    path: Path
    rows: int
    size: int
    modified: float

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a segment. ``longest``: bytes of the longest line, for the reader's buffer."""

    rows: int
    size: int
    crc32: int
    longest: int

    def line(self) -> bytes:
        values = {
            "spectra_segment": FORMAT,
            "rows": self.rows,
            "size": self.size,
            "crc32": self.crc32,
            "longest": self.longest,
        }
        return json.dumps(values).encode() + b"\n"

    def compare(self, size: int, crc: int) -> None:
        """Raises :class:`ValueError` where so many bytes with this checksum are not what the header promises."""
        if size != self.size:
            raise ValueError(f"{size} bytes where the header says {self.size}: torn")
        if crc != self.crc32:
            raise ValueError("checksum does not match: damaged")

    @classmethod
    def parse(cls, line: bytes) -> Header:
        """Raises :class:`ValueError` with the reason why this is not a header of ours."""
        try:
            values = json.loads(line)
            if values["spectra_segment"] != FORMAT:
                raise ValueError(f"segment format {values['spectra_segment']!r} is not {FORMAT}")
            return cls(*(int(values[key]) for key in ("rows", "size", "crc32", "longest")))
        except (KeyError, TypeError, OverflowError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError("no segment header") from error


class Lines:
    """The lines of a segment to be, in one buffer.

    A list of them would take seven times the memory: orjson's bytes leave holes behind.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self.body = bytearray()
        self.rows = 0
        self.longest = 0
        for line in lines:
            self.add(line)

    def add(self, line: bytes) -> None:
        """Add a line, which ends with a newline."""
        self.body += line
        self.rows += 1
        self.longest = max(self.longest, len(line))

    def header(self) -> Header:
        """The header of these lines."""
        return Header(self.rows, len(self.body), zlib.crc32(self.body), self.longest)


class Spool:
    """The segments of one database: ``<folder of the database>/spool/<its file name>/``.

    Args:
        database: The DuckDB file that the segments are for.
        max_bytes: Size at which :meth:`append` acts as ``drop_oldest`` says; 0 = no limit.
        drop_oldest: When full, remove the oldest segments (counted in ``dropped_rows``) instead of refusing the new one.
    """

    def __init__(self, database: Path, max_bytes: int = 0, drop_oldest: bool = False) -> None:
        self.folder = database.parent / "spool" / database.name
        self.quarantine = self.folder / "quarantine"
        self.dropped_rows = 0
        self._max_bytes = max_bytes
        self._drop_oldest = drop_oldest
        self._begin_process()

    def _begin_process(self) -> None:
        """Name the writer; again in the child of a fork, which must not go on under its parent's name."""
        self._pid = os.getpid()
        self._lock = Lock()
        self._writer = f"{self._pid}-{secrets.token_hex(4)}"
        self._sequence = 0
        self._size = 0
        self._size_known_until = 0.0

    def append(self, lines: Lines) -> Path:
        """Write one sealed segment of ``lines``; it is durable when this returns.

        Raises :class:`SpoolFullError`, or the :class:`OSError` of a disk that is full or gone; then nothing is left behind.
        """
        if self._pid != os.getpid():
            self._begin_process()
        header = lines.header()
        self._make_room(header.size)
        name = self._next_name(header.rows)
        opened, sealed = self.folder / (name + OPEN), self.folder / (name + SEALED)
        try:
            self._write(opened, header, lines.body)
            opened.rename(sealed)
        except BaseException:
            opened.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        self._size += header.size
        return sealed

    def sealed(self) -> list[Segment]:
        """The sealed segments, oldest first."""
        found = []
        for entry in self._entries():
            if entry.name.endswith(SEALED):
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # merged in this moment
                    continue
                found.append(Segment(Path(entry.path), rows_of(entry.name), stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda segment: segment.name)

    def adopt_orphans(self, now: float | None = None) -> int:
        """Seal what writers left open when they died; the merge takes the lines that are whole. Returns how many."""
        limit = (time.time() if now is None else now) - ORPHAN_SECONDS
        adopted = 0
        for entry in self._entries():
            try:
                if entry.name.endswith(OPEN) and entry.stat().st_mtime < limit:
                    Path(entry.path).rename(self.folder / (entry.name.removesuffix(OPEN) + "-orphan" + SEALED))
                    adopted += 1
            except FileNotFoundError:  # its writer was alive after all
                continue
        return adopted

    def set_aside(self, name: str, content: bytes, reason: str) -> None:
        """Put what cannot be merged into the quarantine, with the reason beside it."""
        self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.quarantine / name).write_bytes(content)
        (self.quarantine / f"{name}.reason").write_text(reason + "\n", encoding="utf-8")

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}{_owned(self.folder)}") from error

    def check_access(self) -> None:
        """Raise :class:`StoreError` where the folder is there and is not for this user to work in."""
        if self.folder.is_dir() and not os.access(self.folder, os.R_OK | os.W_OK | os.X_OK):
            raise StoreError(f"{self.folder}: {os.strerror(errno.EACCES)}{_owned(self.folder)}")

    def _next_name(self, rows: int) -> str:
        with self._lock:
            self._sequence += 1
            return f"{time.time_ns():019d}-{self._writer}-{self._sequence}.{rows}"

    def _write(self, path: Path, header: Header, body: bytearray) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            missing = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for made in missing:  # a file is durable when the way to it is
                sync_folder(made.parent)
            descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(header.line())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    def _make_room(self, size: int) -> None:
        if not self._max_bytes:
            return
        if time.monotonic() >= self._size_known_until or self._size + size > self._max_bytes:
            self._size = sum(segment.size for segment in self.sealed())
            self._size_known_until = time.monotonic() + _SIZE_SECONDS
        if self._size + size <= self._max_bytes:
            return
        if not self._drop_oldest:
            raise SpoolFullError(f"{self.folder} holds {self._size} bytes of max_spool_bytes {self._max_bytes}")
        for segment in self.sealed():
            if self._size + size <= self._max_bytes:
                break
            segment.path.unlink(missing_ok=True)
            self._size -= segment.size
            self.dropped_rows += segment.rows


def _owned(folder: Path) -> str:
    """Whose a folder is that this user may not see: whoever used the store first, or runs it."""
    try:
        return f"; it belongs to user {folder.owner()}"
    except (OSError, KeyError, NotImplementedError):
        return ""


def check(segment: Segment) -> Header:
    """Header of a segment that is whole. Raises :class:`ValueError` with the reason if it is not."""
    with segment.path.open("rb") as file:
        header = Header.parse(file.readline(_CHUNK))
        size = crc = 0
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
    header.compare(size, crc)
    return header


def copy(segment: Segment, file: BinaryIO) -> Header:
    """The same for a small segment, whose lines are written to ``file`` where it is whole.

    It is read by as few calls as can be: in a busy process each of them waits for Python's lock.
    """
    descriptor = os.open(segment.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        content = os.read(descriptor, segment.size)
        while len(content) < segment.size and (more := os.read(descriptor, segment.size)):
            content += more
    finally:
        os.close(descriptor)
    begin = content.find(b"\n", 0, _CHUNK) + 1
    header = Header.parse(content[:begin])
    with memoryview(content)[begin:] as lines:
        header.compare(len(lines), zlib.crc32(lines))
        file.write(lines)
    return header


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a segment, good or bad, without the header if it has one."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number == 0 and line.startswith(b'{"spectra_segment"'):
                continue
            if line.strip():
                yield line


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable. Windows and some network file systems cannot, and need not."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def rows_of(name: str) -> int:
    """The rows that the name of a segment promises; 0 for a name that is not ours."""
    digits = name.removesuffix(SEALED).removesuffix("-orphan").rpartition(".")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
