"""Where a server's Unix socket lives.

The path of a socket may have about 100 bytes, fewer than many project folders. A deep home gets a
short private folder instead, remembered by a link so that a restart finds it again.
"""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from agenthub_server.embedded.account import Account

# macOS allows 103 bytes, and Postgres adds `/.s.PGSQL.5432.lock`.
_LONGEST = 84


def socket_folder(home: Path, account: Account | None) -> Path:
    """`home`, or a short folder when the path is too long or has a comma (Postgres splits there)."""
    if len(os.fsencode(home)) <= _LONGEST and "," not in str(home):
        return home
    link = home / "sockets"
    uid = os.geteuid() if account is None else account.uid
    with suppress(OSError):
        target = link.readlink()
        found = target.lstat()
        # Anyone may create names in /tmp, so only a folder that is provably ours is reused.
        if target.is_dir() and not target.is_symlink() and found.st_uid == uid:
            return target
    folder = Path(tempfile.mkdtemp(prefix="agenthub-", dir="/tmp"))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return folder


def release(home: Path) -> None:
    """Remove the short folder, if there is one."""
    link = home / "sockets"
    with suppress(OSError):
        link.readlink().rmdir()
        link.unlink()


def listens(path: Path) -> bool:
    """Whether a server accepts connections on the socket at `path`."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
