"""The original: `langgraph dev` in an environment of its own, from a lock, over our fixture's graphs.

It is as it is installed from `hub/locks/langgraph-dev.txt`, and keeps nothing.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from testkit.environments import environment
from testkit.hub import FIXTURES
from testkit.processes import free_port, process

AGENTS = FIXTURES / "rest_agents.py"
SETTINGS = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_DISABLE_FILE_PERSISTENCE": "true",
    "LOG_COLOR": "false",
    "PYTHONPATH": "",
}
STOP_SECONDS = 3.0


def graphs() -> list[str]:
    """The names that the fixture's agents have as graphs, in its order."""
    tree = ast.parse(AGENTS.read_text(encoding="utf-8"))
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call()) if name[0] != "_":
                names.append(name)
            case ast.AsyncFunctionDef(name=name, decorator_list=[ast.Call()]):
                names.append(name)
            case _:
                pass
    return names


@asynccontextmanager
async def langgraph_dev(folder: Path) -> AsyncGenerator[str]:
    """The address of a running `langgraph dev`, whose project is made in `folder`.

    Raises:
        Unreachable: its packages cannot be fetched.
    """
    programs = environment("langgraph-dev")
    shutil.copy(AGENTS, folder)
    project = {
        "dependencies": ["."],
        "graphs": {name: f"./{AGENTS.name}:{name}" for name in graphs()},
    }
    (folder / "langgraph.json").write_text(json.dumps(project), encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = [programs / "langgraph", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    argv = [*serve, "--n-jobs-per-worker", "10"]
    env = {**SETTINGS, "PATH": f"{programs}:{os.environ['PATH']}"}
    async with process(argv, cwd=folder, env=env, ready=f"{url}/ok", stop_within=STOP_SECONDS):
        yield url
