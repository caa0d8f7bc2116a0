"""Files that grow, known by what they are and not by their names: one that is renamed goes on where it was read to."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import orjson

from spectra_otel import faults

LONGEST_LINE = 64 << 20
_HEAD_BYTES = 1024
_MOST_OPEN = 64
"""Files that grew last are kept open: what was written to one before it was renamed can then still be read."""
_log = logging.getLogger(__name__)

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class Followed:
    """A file, and how far its lines were dealt with."""

    path: Path
    identity: Identity
    offset: int
    file: BinaryIO | None = None

    def lines(self) -> Iterator[bytes]:
        """Whole lines from ``offset`` on, which whoever reads them moves; what is being written is read the next time."""
        if self.file is None:
            self.file = self.path.open("rb")
        if os.fstat(self.file.fileno()).st_size < self.offset:
            self.offset = 0  # it was emptied and begun anew
        self.file.seek(self.offset)
        while line := self.file.readline(LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                return
            yield line

    def head(self) -> str:
        """A digest of its beginning, as far as it was read: another file may have the inode one day."""
        with self.path.open("rb") as file:
            return blake2b(file.read(min(self.offset, _HEAD_BYTES)), digest_size=16).hexdigest()

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()
            self.file = None


class Files:
    """The files that are followed.

    Args:
        state: Where it is kept how far they were read; what is there is taken up again.
        at_end: Whether files that are there now, and of which nothing is known, are read from their end.
    """

    def __init__(self, state: Path, paths: Iterable[Path], *, at_end: bool) -> None:
        self._state = state
        self._files: OrderedDict[Identity, Followed] = OrderedDict()
        known = _read_state(state)
        for path in paths:
            if (followed := self._meet(path)) is None:
                continue
            if known is not None:
                followed.offset = _read_to(followed, known)
            elif at_end:
                followed.offset = path.stat().st_size

    def grown(self, paths: Iterable[Path]) -> Iterator[Followed]:
        """Those with something to read: first files that have no name among ``paths`` any more, which are forgotten then."""
        met = {followed.identity: followed for path in paths if (followed := self._meet(path)) is not None}
        for identity in [identity for identity in self._files if identity not in met]:
            followed = self._files[identity]
            if followed.file is not None:
                yield followed
            followed.close()
            del self._files[identity]
        for followed in met.values():
            try:
                is_same = followed.path.stat().st_size == followed.offset
            except OSError:  # it went away since
                continue
            if not is_same:
                self._files.move_to_end(followed.identity)
                yield followed
        for followed in [*self._files.values()][:-_MOST_OPEN]:
            followed.close()

    def save(self) -> None:
        """Write how far they were read."""
        heads: dict[str, Mapping[str, Any]] = {}
        for followed in self._files.values():
            try:
                heads[_name(followed.identity)] = {"offset": followed.offset, "head": followed.head()}
            except OSError:
                continue
        opened = self._state.with_suffix(".open")
        try:
            self._state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened.write_bytes(orjson.dumps(heads))
            opened.replace(self._state)
        except OSError as error:  # a full disk: lines are read again after a restart
            faults.report(f"{self._state}: how far files were read", error)

    def close(self) -> None:
        """Let go of all."""
        for followed in self._files.values():
            followed.close()

    def _meet(self, path: Path) -> Followed | None:
        try:
            found = path.stat()
        except OSError:
            return None
        identity = (found.st_dev, found.st_ino)
        followed = self._files.setdefault(identity, Followed(path, identity, 0))
        followed.path = path
        return followed


def _read_to(followed: Followed, known: Mapping[str, Any]) -> int:
    """Up to where a file was read before; one that nobody knew is new."""
    saved = known.get(_name(followed.identity))
    if saved is None:
        return 0
    followed.offset = saved["offset"]
    try:
        return followed.offset if followed.head() == saved["head"] else 0
    except OSError:
        return followed.offset


def _name(identity: Identity) -> str:
    return f"{identity[0]}-{identity[1]}"


def _read_state(state: Path) -> dict[str, Any] | None:
    try:
        document = orjson.loads(state.read_bytes())
        return {name: {"offset": int(item["offset"]), "head": str(item["head"])} for name, item in document.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("%s cannot be read, files are begun as at the first start: %s", state, error)
        return None
