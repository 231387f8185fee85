"""Who owns the embedded servers of a folder: the first process starts them, later ones attach.

Ownership is a lock on `owner.lock`, which the kernel drops the instant its holder dies. The owner
writes `servers.json` once its servers answer; those who attach read the addresses there. When the
owner is dead the next process takes over, and first ends whatever was left running.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agenthub_server.embedded.binaries import valkey_binary
from agenthub_server.embedded.errors import EmbeddedError
from agenthub_server.embedded.keeper import Keeper
from agenthub_server.embedded.postgres import DISPOSABLE, DURABLE, Postgres
from agenthub_server.embedded.sockets import listens
from agenthub_server.embedded.valkey import Valkey


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses of running servers, and sentences about them for a person."""

    database_url: str
    redis_url: str | None
    owned: bool
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Wish:
    root: Path
    settings: Mapping[str, str]
    durable: bool
    valkey: bool
    environ: Mapping[str, str]


@contextmanager
def embedded(
    root: Path,
    *,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
    valkey: bool = True,
    environ: Mapping[str, str] = os.environ,
    within: float = 60.0,
) -> Generator[Servers]:
    """Servers in `root`, started or attached to, that answer now; stopped at the end if ours.

    `settings` are added to the Postgres settings. `valkey=False` starts none, for when Redis is
    already there. Blocks while it starts and while it stops.

    Raises:
        EmbeddedError: they cannot run here; the message says what to do.
    """
    basis = DURABLE if durable else DISPOSABLE
    wish = _Wish(root.absolute(), {**basis, **(settings or {})}, durable, valkey, environ)
    deadline = time.monotonic() + within
    _prepare(wish.root)
    with ExitStack() as stack:
        while True:
            if _owns(wish.root, stack):
                yield _start(wish, stack)
                return
            servers = _attached(wish)
            if servers is not None:
                yield servers
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Process {_owner(wish.root)} holds {str(wish.root)!r}, but its servers "
                    "do not answer. Stop that process, or choose another folder."
                )
            time.sleep(0.02)


def _prepare(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Root's Postgres runs as another account, which passes through this folder.
        root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        # Data is nothing to commit, and the project need not know that.
        (root / ".gitignore").write_text("*\n", encoding="ascii")
    except OSError as error:
        raise EmbeddedError(f"The folder {str(root)!r} cannot be used: {error}.") from error


def _owns(root: Path, stack: ExitStack) -> bool:
    lock = os.open(root / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    # Registered first, so it is let go of last: when both servers are down.
    stack.callback(os.close, lock)
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return True


def _owner(root: Path) -> str:
    return (root / "owner.lock").read_text(encoding="ascii") or "of another user"


def _start(wish: _Wish, stack: ExitStack) -> Servers:
    addresses = wish.root / "servers.json"
    # What a killed owner left behind would send others to servers that are going down.
    addresses.unlink(missing_ok=True)
    postgres = Postgres(wish.root / "postgres", settings=wish.settings, environ=wish.environ)
    stack.callback(postgres.stop)
    postgres.start()
    redis, notes = _start_valkey(wish, stack)
    running = [postgres, redis] if redis else [postgres]
    stack.enter_context(Keeper(running))
    notes = [*_told(postgres, wish.root), *notes]
    servers = Servers(postgres.url(), redis.url() if redis else None, True, notes)
    stack.callback(addresses.unlink, missing_ok=True)
    unfinished = addresses.with_suffix(".tmp")
    told = {
        "database_url": servers.database_url,
        "redis_url": servers.redis_url,
        "sockets": [str(server.socket) for server in running],
    }
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(addresses)
    return servers


def _start_valkey(wish: _Wish, stack: ExitStack) -> tuple[Valkey | None, list[str]]:
    if not wish.valkey:
        return None, []
    if valkey_binary(wish.environ) is None:
        return None, ["Valkey is not installed: wake-ups go through Postgres."]
    valkey = Valkey(wish.root / "valkey", durable=wish.durable, environ=wish.environ)
    stack.callback(valkey.stop)
    try:
        valkey.start()
    except EmbeddedError as error:
        # Redis only makes things faster, so its failure must not keep the hub from starting.
        return None, [f"Wake-ups go through Postgres, because {error}"]
    return valkey, []


def _told(postgres: Postgres, root: Path) -> list[str]:
    notes: list[str] = []
    if postgres.account is not None:
        name = postgres.account.name
        notes.append(f"Postgres runs as {name!r}, because it refuses to run as root.")
        if not postgres.home.is_relative_to(root.resolve()):
            notes.append(f"Its data is in {postgres.home}: {name!r} may not enter {root}.")
    return notes


def _attached(wish: _Wish) -> Servers | None:
    with suppress(OSError, ValueError, KeyError):
        told = json.loads((wish.root / "servers.json").read_text(encoding="utf-8"))
        if all(listens(Path(socket)) for socket in told["sockets"]):
            notes = [f"Attached to the servers of process {_owner(wish.root)}."]
            redis_url = told["redis_url"] if wish.valkey else None
            return Servers(told["database_url"], redis_url, False, notes)
    return None
