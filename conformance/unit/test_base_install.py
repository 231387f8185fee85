"""The base install is what a worker needs: it works alone and brings no protocol along.

Frameworks pin `mcp` and `a2a-sdk` to old versions, so a worker that had ours could not share its
environment with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

IMPORTED = (
    "agenthub",
    "agenthub_postgres",
    "agenthub_redis",
    "agenthub_langgraph",
    "agenthub_server.__main__",
)
ABSENT = ("mcp", "a2a", "starlette", "uvicorn", "sse_starlette")


def run(*argv: str | Path) -> str:
    # Without what surrounds the suite: neither its environment nor its import paths.
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    inherited.pop("VIRTUAL_ENV", None)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=inherited)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the base install, from a wheel."""
    folder = tmp_path_factory.mktemp("base")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    install = [UV, "--system-certs", "pip", "install", "--quiet", "--python", python]
    run(*install, "--require-hashes", "-r", ROOT / "hub" / "locks" / "base.txt")
    build = [UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    run(*build, "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    run(*install, "--no-deps", wheel)
    return python


@pytest.mark.parametrize("module", IMPORTED)
def test_it_imports(python: Path, module: str) -> None:
    run(python, "-I", "-c", f"import {module}")


def test_it_brings_no_protocol_along(python: Path) -> None:
    code = (
        "import json, sys; from importlib.util import find_spec; "
        "print(json.dumps([name for name in sys.argv[1:] if find_spec(name)]))"
    )
    assert json.loads(run(python, "-I", "-c", code, *ABSENT)) == []


def test_its_requirements_are_complete(python: Path) -> None:
    run(UV, "pip", "check", "--python", python)
