"""Whether the process that holds a lease is still there.

A process id says little by itself: ids are used again, and containers that share a folder each have a process 7. So a holder is
named by boot, process namespace, id and the moment the process began.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from spectra_otel.forks import in_forked_child


@cache
def place() -> str:
    """Where process ids of this process mean what they mean here: boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@cache
def me() -> tuple[str, int, str]:
    """(place, process id, when it began) of this process."""
    pid = os.getpid()
    return place(), pid, began(pid)


in_forked_child(me.cache_clear)


def began(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where that is not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_dead(where: str, pid: int, start: str) -> bool:
    """Whether that process is known to be gone. A process elsewhere is never known to be."""
    if where != place():
        return False
    if start:
        return began(pid) != start or _is_zombie(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True
