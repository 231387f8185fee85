"""`agenthub new`: a project that starts and answers. Those of other frameworks are the examples that
`test_frameworks_together` runs, file for file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agenthub_server.cli import demo
from agenthub_server.cli.new import EXAMPLES
from faults import clients
from faults.cluster import HUB, compiled, knows
from faults.test_dev import BANNER
from testkit.environments import ROOT
from testkit.frameworks import FRAMEWORKS
from testkit.processes import free_port, process
from testkit.servers import suite_environment


def new(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agenthub_server", "new", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )


@pytest.mark.slow
async def test_a_new_project_starts_by_the_commands_that_it_names_and_answers(folder: Path) -> None:
    done = new(folder, "shop")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["  cd shop", "  agenthub dev"]
    port = free_port()
    argv = [*HUB, "dev", "--port", str(port), "--no-reload"]
    environ = {**suite_environment(), **compiled()}
    async with process(argv, ready=BANNER, cwd=folder / "shop", env=environ):
        url = f"http://127.0.0.1:{port}"
        await knows(url, "refunds")
        async with clients.rest(url) as client:
            thread = await client.threads.create()
            order = {"message": "My order A-17 arrived broken."}
            await client.runs.wait(thread["thread_id"], "refunds", input=order)
            answer = {"resume": {"approved": True}}
            done_ = await client.runs.wait(thread["thread_id"], "refunds", command=answer)
        # what `make demo` shows of it, which is an error when anything is not as promised
        await demo.drive(url)
    assert isinstance(done_, dict)
    assert done_["refunded"] == 42


@pytest.mark.slow
@pytest.mark.parametrize("framework", [f for f in EXAMPLES if f != "langgraph"])
def test_a_new_project_of_a_framework_is_its_example(framework: str, tmp_path: Path) -> None:
    assert framework in FRAMEWORKS, "its example is not run by any test"
    done = new(tmp_path, "shop", "--framework", framework)
    assert done.returncode == 0, done.stderr
    example = ROOT / "adapters" / "examples" / EXAMPLES[framework]
    files = {file.name for file in (tmp_path / "shop").iterdir()}
    assert files == {".gitignore", "agenthub.toml", "refunds.py", "scripted.py"}
    for name in files - {".gitignore"}:
        written = (tmp_path / "shop" / name).read_bytes()
        assert written == (example / name).read_bytes()


def test_what_exists_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    done = new(tmp_path, "shop")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "agenthub: shop exists: choose another name, or remove it first\n"
    assert not list((tmp_path / "shop").iterdir())
