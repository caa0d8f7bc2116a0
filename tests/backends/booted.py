"""A systemd of its own: this machine's files, booted in a container that throws away what it changes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.backends.positions.programs import BUILD, until

NSPAWN = BUILD / "systemd" / "systemd-nspawn"
SYSTEMD = Path("/usr/lib/systemd/systemd")
ENTER = ["nsenter", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--root", "--wd"]


@dataclass(frozen=True)
class Machine:
    """A container whose first process is systemd. Its network is this machine's."""

    leader: int
    """The pid of its systemd."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside, by root."""
        return subprocess.run(
            [*ENTER, f"--target={self.leader}", *command], capture_output=True, text=True, check=False, timeout=90
        )

    def said(self, *command: str) -> str:
        """What a command prints that must end well; the end of the journal stands in the failure."""
        result = self.run(*command)
        if result.returncode != 0:
            raise AssertionError(f"{command}: {result.stderr}\n{self.run('journalctl', '--lines=30').stdout}")
        return result.stdout

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.said("systemctl", "show", f"--property={name}", "--value", unit).strip()


def _children(pid: int) -> dict[str, int]:
    """The processes that another one started, by name."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in pids}


@contextmanager
def booted(folder: Path, files: Mapping[str, Path]) -> Iterator[Machine]:
    """Boots as far as any unit may be started; ``files`` are what it finds, read-only, at other places."""
    lower = folder / "lower"
    lower.mkdir()
    binds = [f"--bind-ro={there}:{place}" for place, there in files.items()]
    nspawn = [
        NSPAWN, f"--directory={lower}", "--volatile=overlay", "--boot", "--register=no", "--keep-unit", "--link-journal=no",
        "--console=pipe", *binds, "systemd.unit=basic.target",
    ]  # fmt: skip
    alone = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind / "$0" && exec "$@"',
        lower,
    ]  # of / itself it refuses to boot
    log = folder / "boot.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in [*alone, *nspawn]], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        until(lambda: process.poll() is not None or "systemd" in _children(process.pid))
        assert process.poll() is None, log.read_text()
        machine = Machine(_children(process.pid)["systemd"])
        until(lambda: machine.run("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"})
        yield machine
        machine.run("systemctl", "poweroff")
        process.wait(90)
    finally:
        process.kill()
        process.wait()
