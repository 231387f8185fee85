"""Plug-ins: which adapter speaks for an object, and how a project's agents of other frameworks are found."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from agenthub.agents import text_input
from agenthub.errors import Conflict
from agenthub.project import read_project
from agenthub.runs import Run, RunRequest
from agenthub_langgraph import frameworks
from agenthub_langgraph.discovery import Discovered, discover
from faults.cluster import HUB
from testkit.agents import Stage
from testkit.core import Core
from testkit.processes import process
from testkit.waiting import eventually

README = Path(__file__).parents[2] / "adapters" / "README.md"
PETS = """
import parrot

polly = parrot.Parrot("Polly")
_hidden = parrot.Parrot("Hidden")

def hatch():
    return parrot.Parrot("Chick")
"""
HEAVY = """
import time
from pathlib import Path

from langgraph.func import entrypoint

Path("importing").touch()
while not Path("imported").exists():
    time.sleep(0.01)

@entrypoint()
async def heavy(city: str) -> str:
    return f"sunny in {city}"
"""
DECLARED = """
[agents.nest]
path = "./pets.py:hatch"
description = "A young one."
"""


@pytest.fixture(autouse=True)
def _clean() -> Generator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    frameworks.forget()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project and, installed beside it, the README's framework with its adapter."""
    installed, folder = tmp_path / "installed", tmp_path / "project"
    metadata = installed / "parrot-1.0.dist-info"
    metadata.mkdir(parents=True)
    folder.mkdir()
    framework, adapter = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    (declared,) = re.findall(r"```toml\n(.*?)```", README.read_text("utf-8"), re.S)
    (installed / "parrot.py").write_text(framework, "utf-8")
    (installed / "parrot_adapter.py").write_text(adapter, "utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    _, _, points = declared.partition("\n")
    (metadata / "entry_points.txt").write_text(
        f"[agenthub.adapters]\n{points.replace(chr(34), '')}"
    )
    (folder / "pets.py").write_text(PETS, "utf-8")
    sys.path.insert(0, str(installed))
    frameworks.forget()
    return folder


def found(project: Path) -> Discovered:
    return discover(read_project(project), "default")


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def contents(values: Any) -> list[str]:
    return [message["content"].strip() for message in values["messages"]]


async def test_the_readmes_adapter_serves_agents_that_are_found_without_configuration(
    core: Core, project: Path
) -> None:
    discovered = found(project)
    assert (list(discovered.graphs), discovered.failures) == (["polly"], {})
    (info,) = discovered.infos
    assert (info.name, info.description) == ("polly", "Says what it hears.")
    assert info.input_schema["required"] == ["messages"]
    assert text_input(info, "hi") == say("hi")
    hub = Stage(core, discovered.graphs["polly"])
    first = await hub.run(say("hello you"))
    assert contents(first.output) == ["hello you", "hello you"]
    streamed = [event.json()[0]["content"] for event in await hub.events(first, "messages")]
    assert [text for text in streamed if text] == ["hello ", "you "]
    shouting = await hub.run(say("hey!"), thread_id=first.thread_id)
    (asked,) = shouting.interrupts
    assert asked.value == {"id": "shout-2", "kind": "approval", "prompt": "May I shout?"}
    quiet = await hub.answer(shouting, {"action": "decline"})
    assert contents(quiet.output)[2:] == ["hey!", "(silence)"]


async def test_a_declared_factory_is_called_and_its_agents_framework_found(
    core: Core, project: Path
) -> None:
    (project / "agenthub.toml").write_text(DECLARED, "utf-8")
    discovered = found(project)
    assert (list(discovered.graphs), discovered.failures) == (["nest"], {})
    assert discovered.infos[0].description == "A young one."
    run = await Stage(core, discovered.graphs["nest"]).run(say("hello"))
    assert run.output["messages"][-1]["name"] == "Chick"


def test_the_longest_prefix_wins_and_needs_whole_names() -> None:
    plugins = [point("strands", "one"), point("strands.multiagent", "two"), point("other", "three")]
    assert frameworks.claimant(["strands.agent"], plugins) is plugins[0]
    assert frameworks.claimant(["strands.multiagent.graph", "strands.base"], plugins) is plugins[1]
    assert frameworks.claimant(["strandsx", "builtins"], plugins) is None


def test_two_adapters_of_one_prefix_are_an_error_that_names_both() -> None:
    plugins = [point("strands", "theirs:Adapter"), point("strands", "ours:Adapter")]
    with pytest.raises(Conflict, match="ours:Adapter and theirs:Adapter"):
        frameworks.claimant(["strands.agent"], plugins)


def test_a_framework_that_is_not_installed_is_a_failure_that_names_the_extra(
    tmp_path: Path,
) -> None:
    (tmp_path / "bot.py").write_text("import pydantic_ai\n", "utf-8")
    discovered = found(tmp_path)
    assert "install agenthub[pydantic-ai]" in discovered.failures["bot"]
    (tmp_path / "bot.py").write_text("import something_else\n", "utf-8")
    assert "install" not in found(tmp_path).failures["bot"]


def test_looking_for_adapters_imports_neither_adapters_nor_frameworks() -> None:
    code = (
        "import sys; from agenthub_langgraph import frameworks\n"
        "assert frameworks.adapter_for(object()) is None and frameworks.adapter_for(int) is None\n"
        "wrong = [m for m in sys.modules if m.startswith(('agenthub_openai', 'agenthub_pydantic'))]\n"
        "assert not wrong, wrong"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
async def test_a_worker_claims_nothing_before_it_has_imported_its_agents(
    core: Core, tmp_path: Path
) -> None:
    # so that no run waits for a framework's import, of which CrewAI's takes five seconds
    (tmp_path / "heavy.py").write_text(HEAVY, "utf-8")
    run = await core.create(agent="heavy", request=RunRequest(input="Oslo"))
    environ = {"DATABASE_URL": core.db.dsn, "AGENTHUB_POLL_SECONDS": "0.1"}
    argv = [*HUB, "work", tmp_path]
    importing = tmp_path / "importing"
    async with process(argv, ready=importing.exists, cwd=tmp_path, env=environ) as worker:
        # other replicas poll, and find it still there
        assert (await core.run(run)).attempts == 0
        assert "serves" not in worker.output()
        (tmp_path / "imported").touch()
        done = await eventually(lambda: _ended(core, run), within=30)
    assert (done.status, done.attempts, done.output) == ("success", 1, "sunny in Oslo")


async def _ended(core: Core, run: Run) -> Run | None:
    found = await core.run(run)
    return None if found.open else found


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=frameworks.GROUP)
