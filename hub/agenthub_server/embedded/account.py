"""Whose rights Postgres runs with, and what that account can reach.

Postgres refuses to run as root, and a process of another account sees neither a private virtual
environment nor a private home folder. Both are answered by copying and by placing files elsewhere,
never by opening up folders that are not ours.
"""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from agenthub_server.embedded.errors import EmbeddedError

# Where data goes when the account may not enter the project's folder (often /root).
_ELSEWHERE = Path("/var/lib/agenthub")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account that root lends to Postgres."""

    name: str
    uid: int
    gid: int


class Credentials(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that switch the account; empty means: stay."""

    user: int
    group: int
    extra_groups: list[int]


def service_account(environ: Mapping[str, str], home: Path) -> Account | None:
    """The account to run Postgres with, or None to stay who we are.

    Data that exists belongs to someone already: root goes on with that account.

    Raises:
        EmbeddedError: the account that AGENTHUB_PG_USER names does not exist, or is root.
    """
    if os.geteuid() != 0:
        return None
    chosen = environ.get("AGENTHUB_PG_USER")
    if chosen:
        account = _account(chosen)
        if account is None or account.uid == 0:
            raise EmbeddedError(f"AGENTHUB_PG_USER is {chosen!r}: no unprivileged account.")
        return account
    with suppress(OSError):
        owner = (home / "data").stat()
        if owner.st_uid != 0:
            return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        account = _account(name)
        if account is not None:
            return account
    raise EmbeddedError(
        "Postgres refuses to run as root, and neither 'postgres' nor 'nobody' exists here. "
        "Name an unprivileged account in AGENTHUB_PG_USER, or set DATABASE_URL."
    )


def credentials(account: Account | None) -> Credentials:
    """What `subprocess` needs to become the account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


@contextmanager
def switching(account: Account | None) -> Generator[None]:
    """Turn the kernel's refusal to change accounts into a sentence.

    Raises:
        EmbeddedError: root without CAP_SETUID, CAP_SETGID or CAP_CHOWN, as in a locked container.
    """
    try:
        yield
    except PermissionError as error:
        # EPERM is the refused switch; EACCES would be an ordinary unreadable file.
        if account is None or error.errno != errno.EPERM:
            raise
        raise EmbeddedError(
            f"Postgres refuses to run as root, and this process may not become {account.name!r} "
            "(it lacks CAP_SETUID, CAP_SETGID or CAP_CHOWN). Run agenthub as an ordinary user, "
            "or set DATABASE_URL."
        ) from error


def private_folder(home: Path, account: Account | None) -> Path:
    """Make `home` a folder that the account owns and can enter, and return its real path.

    Where a parent is closed to the account, `home` becomes a link to a folder elsewhere: deleting
    the link starts afresh, and moving the project keeps its data.
    """
    if not home.is_symlink():
        home.mkdir(parents=True, exist_ok=True)
    elif not home.exists():
        home.unlink()
        home.mkdir()
    _own(home, account)
    # Resolved first: the account need not pass through where the link stands.
    real = home.resolve()
    if account is None or _can_enter(real, account):
        return real
    try:
        home.rmdir()
        _ELSEWHERE.mkdir(mode=0o755, parents=True, exist_ok=True)
        _ELSEWHERE.chmod(0o755)  # whatever the umask says: the account passes through
        moved = Path(tempfile.mkdtemp(prefix=f"{home.parent.parent.name}-", dir=_ELSEWHERE))
    except OSError as error:
        raise EmbeddedError(
            f"Postgres runs as {account.name!r}, who may not enter {str(home)!r}. "
            "Move the project to a folder that this account may enter, or set DATABASE_URL."
        ) from error
    home.symlink_to(moved)
    _own(moved, account)
    return moved


def runnable(bindir: Path, account: Account | None, cache: Path) -> Path:
    """`bindir`, or a copy in `cache` when the account cannot read it."""
    if account is None or _can_run(bindir / "postgres", account):
        return bindir
    stamp = (bindir / "postgres").stat()
    # A new build of the same version gets a new copy, so the copy never goes stale.
    copy = cache / f"binaries-{stamp.st_size:x}-{stamp.st_mtime_ns:x}"
    package, install = bindir.parent.parent, bindir.parent
    if not copy.exists():
        for stale in cache.glob("binaries-*"):
            shutil.rmtree(stale, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="binaries-", dir=cache))
        # Keep the layout: the executables look for their libraries relative to themselves.
        skip = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
        target = unfinished / package.name / install.name
        shutil.copytree(install, target, symlinks=True, ignore=skip)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        _own_all(unfinished, account)
        unfinished.rename(copy)
    return copy / package.name / install.name / "bin"


def _account(name: str) -> Account | None:
    with suppress(KeyError):
        entry = pwd.getpwnam(name)
        return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _own(folder: Path, account: Account | None) -> None:
    try:
        with switching(account):
            if account is not None:
                os.chown(folder, account.uid, account.gid)
            folder.chmod(0o700)
    except PermissionError as error:
        owner = folder.stat().st_uid
        raise EmbeddedError(
            f"{str(folder)!r} belongs to uid {owner}: "
            "run agenthub as that user or as root, or remove the folder to start afresh."
        ) from error


def _own_all(folder: Path, account: Account) -> None:
    for parent, _, names in os.walk(folder):
        os.chown(parent, account.uid, account.gid)
        for name in names:
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)


def _can_enter(folder: Path, account: Account) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)], account)


def _can_run(binary: Path, account: Account) -> bool:
    return _succeeds([str(binary), "--version"], account)


def _succeeds(argv: list[str], account: Account) -> bool:
    # Asking the kernel counts ACLs, mount options and security modules, which mode bits do not.
    quiet = subprocess.DEVNULL
    try:
        with switching(account):
            done = subprocess.run(  # noqa: S603  # our own words, no shell
                argv, stdout=quiet, stderr=quiet, cwd="/", check=False, **credentials(account)
            )
    except OSError:
        return False
    return done.returncode == 0
