"""What `make demo-frameworks` runs, on the servers of the tests. All examples are shown in
`test_frameworks_together`, and the quick start's in `test_new`."""

from __future__ import annotations

import argparse
import os
import subprocess

import pytest

from agenthub.errors import Invalid
from agenthub_server.cli import demo_frameworks
from testkit.environments import ROOT, Unreachable, hub_environment
from testkit.servers import suite_environment

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120


def recipe(target: str, begins: str, *variables: str) -> str:
    """The last command of a target, from its beginning; what sets up the environment comes before it."""
    made = subprocess.run(
        ["make", "--no-print-directory", "-n", target, *variables],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return made.stdout[made.stdout.rindex(begins) :]


def shown(command: str, dsn: str, redis_url: str) -> list[str]:
    """The transcript, without what workers log."""
    environ = {**suite_environment(), "DATABASE_URL": dsn, "REDIS_URL": redis_url}
    environ.pop("AGENTHUB_EXAMPLE_MODEL", None)
    done = subprocess.run(
        ["sh", "-ec", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        cwd=ROOT,
        env={name: value for name, value in environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, f"{os.linesep}{done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def test_make_demo_frameworks_shows_the_example_of_a_framework(dsn: str, redis_url: str) -> None:
    try:
        hub_environment("strands")
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    command = recipe("demo-frameworks", "made=", "ONLY=strands")
    lines = shown(command, dsn, redis_url)
    begin = lines.index("strands: adapters/examples/strands/refunds.py")
    kinds = [line.split(" ")[0] for line in lines[begin + 1 : -2]]
    assert kinds == ["A2A", "A2A", "A2A", "A2A", "REST", "MCP", "MCP", "REST", "A2A"]
    paid = "I am sorry about that. 42 EUR for order A-17 are on their way."
    assert sum(line.endswith(paid) for line in lines) == 2
    tokens = next(line for line in lines if line.startswith("REST  < tokens:"))
    assert tokens.count("|") > 2
    assert lines[-1].startswith("The same run, the same result, over all three protocols")


@pytest.mark.parametrize("given", ["adk=nowhere", "adk", "langgraph=/bin/sh"])
def test_a_framework_without_an_interpreter_is_a_mistake_that_says_what_to_give(given: str) -> None:
    with pytest.raises(Invalid, match="NAME=PYTHON, with a NAME out of openai-agents, "):
        demo_frameworks.run(argparse.Namespace(framework=[given], port=None))
