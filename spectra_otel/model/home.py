"""Where Spectra keeps its files: ``SPECTRA_HOME``, the data folder of the platform, or a temporary folder when neither serves."""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from spectra_otel.errors import ConfigError
from spectra_otel.forks import in_forked_child

HOME_VARIABLE = "SPECTRA_HOME"
DATABASE_VARIABLE = "SPECTRA_DB"
DATABASE_NAME = "spectra.duckdb"

_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "lustre",
        "ceph",
        "glusterfs",
    }
)
"""File systems whose locks cannot be trusted between machines (as named in ``/proc/mounts``)."""

_log = logging.getLogger(__name__)
_lock = Lock()
_said: set[tuple[str, ...]] = set()
_insists = False


def insist() -> None:
    """From now on, in this process, a place that was named and cannot be used is a :class:`ConfigError`, and no other is taken.

    For a server that acknowledges what others send, which nobody would look for elsewhere; an app goes on instead.
    """
    global _insists
    _insists = True


def home(environ: Mapping[str, str] | None = None) -> Path:
    """The folder for spool, database, budgets and media: created, writable, readable by its owner alone.

    ``SPECTRA_HOME`` if it is set, else the user's data folder. Where that cannot be written, or is on a network file system
    (whose locks do not hold), the answer is a folder beneath the system's temporary one, the same for every process of
    the user, and one warning says so. OSError where there is none either. After :func:`insist`, ConfigError for a
    ``SPECTRA_HOME`` that cannot be used.
    """
    environ = os.environ if environ is None else environ
    wanted = wanted_home(environ)
    reason = "no home folder" if wanted is None else unfit(wanted)
    if wanted is not None and reason is None:
        return wanted
    if environ.get(HOME_VARIABLE, "").strip():
        _refuse(HOME_VARIABLE, wanted, reason)
    missed = wanted or "the data folder of the user"
    try:
        fallback = _temporary()
    except OSError as error:
        raise OSError(
            f"{HOME_VARIABLE}: {missed} cannot be used ({reason}), nor can a temporary folder: name one that can be written"
        ) from error
    _warn_once(HOME_VARIABLE, str(missed), str(reason), str(fallback))
    return fallback


def database_path(path: str | os.PathLike[str] = "", environ: Mapping[str, str] | None = None) -> Path:
    """The DuckDB file: ``path``, else ``SPECTRA_DB``, else ``spectra.duckdb`` in :func:`home`."""
    environ = os.environ if environ is None else environ
    chosen = os.fspath(path) or environ.get(DATABASE_VARIABLE, "").strip()
    return Path(chosen).expanduser().absolute() if chosen else home(environ) / DATABASE_NAME


def writable_database_path(path: str | os.PathLike[str] = "", environ: Mapping[str, str] | None = None) -> Path:
    """:func:`database_path`, or the one in :func:`home` where its folder cannot be written, with one warning.

    After :func:`insist`, ConfigError instead.
    """
    chosen = database_path(path, environ)
    reason = unfit(chosen.parent)
    if reason is None:
        return chosen
    setting = "path" if os.fspath(path) else DATABASE_VARIABLE
    _refuse(setting, chosen, reason)
    fallback = home(environ) / DATABASE_NAME
    _warn_once(setting, str(chosen), reason, str(fallback))
    return fallback


def _refuse(setting: str, place: Path | None, reason: str | None) -> None:
    if _insists:
        raise ConfigError(f"{setting}: {place} cannot be used ({reason}): name one on a local disk that can be written")


def unfit(folder: Path) -> str | None:
    """Why files cannot be kept in ``folder``, which is created if need be; None if they can."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return error.strerror or str(error)
    kind = file_system(folder)
    return f"{kind} is a network file system" if kind in _NETWORK_FILE_SYSTEMS else None


def file_system(folder: Path) -> str:
    """Type of the file system that holds ``folder``, such as ``ext4``; empty where the platform does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best = ("", "")
    target = str(folder.resolve())
    for mount in mounts:
        _, point, kind, *_ = mount.split(" ")
        point = point.replace("\\040", " ")
        if (target == point or target.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def wanted_home(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where :func:`home` would be if it could be written; it need not be there. None without any."""
    environ = os.environ if environ is None else environ
    chosen = environ.get(HOME_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    try:
        found = user_data_path("spectra", appauthor=False)
    except (OSError, KeyError, RuntimeError):  # no HOME and no entry in the password database
        return None
    return found if found.is_absolute() and "~" not in found.parts else None


def _user() -> str:
    try:
        return str(os.getuid())
    except AttributeError:  # Windows
        return getpass.getuser()


def temporary_home() -> Path:
    """Where files go that cannot go where they should; it need not be there."""
    return Path(tempfile.gettempdir()) / f"spectra-{_user()}"


def _temporary() -> Path:
    """One folder for all processes of the user; a fresh one if somebody else made it, who might read along."""
    folder = temporary_home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stranger = folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid())
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}-")) if stranger else folder


def _warn_once(*said: str) -> None:
    """Setting, what it wants, why that cannot be, and what is used instead."""
    with _lock:  # threads that start at once ask at once
        if said in _said:
            return
        _said.add(said)
    _log.warning("%s: %s cannot be used (%s); using %s", *said)


def _fresh_lock() -> None:
    global _lock
    _lock = Lock()


in_forked_child(_fresh_lock)
