"""Environments of their own for programs that must not share ours, from locks with hashes.

Each is made once and kept by the content of its lock. `python -m testkit.environments NAME …` (from
conformance/) makes those of workers and prints `NAME=PYTHON`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
UV = Path(sys.executable).with_name("uv")


class Unreachable(Exception):
    """The packages could not be fetched: PyPI does not answer from here."""


def environment(name: str) -> Path:
    """The folder of programs of an environment with what `hub/locks/NAME.txt` says.

    Raises:
        Unreachable: it has to be made, and PyPI cannot be reached.
    """
    lock = ROOT / "hub" / "locks" / f"{name}.txt"
    content = lock.read_bytes() + sys.version.encode()
    folder = CACHE / name / sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _install(lock, folder / "venv")
            (folder / "installed").touch()
    return folder / "venv" / "bin"


def hub_environment(name: str) -> Path:
    """As `environment`, with the hub itself as it is installed here: its code, and its plug-ins.

    Raises:
        Unreachable: as above.
    """
    programs = environment(name)
    (there,) = (programs.parent / "lib").glob("python*/site-packages")
    installed = distribution("agenthub")
    # an editable installation is a path and metadata, good for any environment on this machine
    for file in installed.files or ():
        if file.parts[0].startswith(("agenthub-", "_editable")):
            copy = there / file
            content = Path(str(file.locate())).read_bytes()
            if not copy.exists() or copy.read_bytes() != content:
                copy.parent.mkdir(parents=True, exist_ok=True)
                whole = copy.with_name(f"{copy.name}.{os.getpid()}")
                whole.write_bytes(content)
                whole.replace(copy)
    return programs


def main(names: Sequence[str]) -> None:
    """Make environments of workers; the first time takes a while, so it is said."""
    for name in names:
        began = time.monotonic()
        try:
            python = hub_environment(name) / "python"
        except Unreachable as why:
            sys.exit(f"environment {name} cannot be made: {why}")
        print(f"environment {name}: ready in {time.monotonic() - began:.1f} s", file=sys.stderr)
        print(f"{name}={os.path.relpath(python, ROOT)}", flush=True)


def _install(lock: Path, venv: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    inherited.pop("VIRTUAL_ENV", None)
    shutil.rmtree(venv, ignore_errors=True)
    make = [UV, "venv", "--quiet", "--python", sys.executable, venv]
    subprocess.run(make, check=True, env=inherited)
    install = [UV, "--system-certs", "pip", "install", "--quiet", "--require-hashes"]
    done = subprocess.run(
        [*install, "--python", venv / "bin" / "python", "-r", lock],
        check=False,
        env=inherited,
        capture_output=True,
        text=True,
    )
    if done.returncode and _offline(done.stderr):
        raise Unreachable(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr


def _offline(stderr: str) -> bool:
    signs = ("(Connect)", "dns error", "timed out", "network was disabled")
    return any(sign in stderr for sign in signs)


if __name__ == "__main__":
    main(sys.argv[1:])
