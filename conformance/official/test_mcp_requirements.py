"""Every MCP requirement of ours, against two replicas without stickiness; the command; and the manifest."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from agenthub_conformance.mcp import CHECKS, REQUIREMENTS, run_all
from official.conftest import Replicas

PROGRAM = Path(sys.executable).with_name("agenthub")
NPX = r"""
for folder; do :; done
mkdir -p "$folder/server-tools-list-2026-11-21T00-00-00-000Z"
cat > "$folder/server-tools-list-2026-11-21T00-00-00-000Z/checks.json" <<'END'
[
  {"id": "tools-list", "status": "SUCCESS"},
  {"id": "tools-names", "status": "FAILURE", "errorMessage": "a dot"}
]
END
"""


def test_every_requirement_has_a_check_and_every_check_a_requirement() -> None:
    assert CHECKS.keys() == REQUIREMENTS.keys()


def test_a_requirement_is_a_sentence_with_a_section() -> None:
    for one in REQUIREMENTS.values():
        assert one.sentence[0].isupper()
        assert one.sentence.endswith(".")
        assert one.section


@pytest.mark.slow
async def test_the_hub_does_what_is_required_on_any_replica(replicas: Replicas) -> None:
    outcomes = await run_all(f"{replicas.url}/mcp", CHECKS)
    wrong = [f"{o.requirement.id}: {o.told}" for o in outcomes if o.verdict != "holds"]
    assert not wrong, "\n".join(wrong)


async def conformance(*arguments: str, path: str = "") -> tuple[int | None, str]:
    """The exit status and all that was printed, with programs found in `path` alone."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "conformance", "mcp", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PATH": path},
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.slow
async def test_the_command_tells_what_holds_in_a_table(replicas: Replicas) -> None:
    status, told = await conformance("--url", replicas.url, "--only", "sessions:")
    assert status == 0, told
    assert "A session that one replica opened is served by every replica." in told
    assert told.rstrip().endswith("7 requirements and scenarios: 7 holds")


@pytest.mark.slow
async def test_without_node_the_command_says_so(replicas: Replicas) -> None:
    status, told = await conformance("--url", replicas.url, "--only", "official:", "--json")
    assert status == 0, told
    report = json.loads(told)
    assert report["rows"] == []
    assert "needs Node" in report["note"]


@pytest.mark.slow
async def test_what_the_official_suite_finds_stands_in_the_report(
    replicas: Replicas, tmp_path: Path
) -> None:
    # a suite of one scenario, in whose checks one does not hold
    for name, script in (("node", "echo v22.1.0"), ("npx", NPX)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    asked = ("--url", replicas.url, "--only", "official:tools")
    status, told = await conformance(*asked, "--json", path=path)
    assert status == 1, told
    first, *_ = json.loads(told)["rows"]
    assert (first["id"], first["verdict"]) == ("official:tools-list", "fails")
    assert first["told"] == "tools-names: a dot"


async def test_nothing_that_answers_is_a_sentence() -> None:
    status, told = await conformance("--url", "http://127.0.0.1:1")
    assert (status, "no server answers at http://localhost:1/mcp" in told) == (2, True)


async def test_a_choice_of_no_requirement_is_a_sentence() -> None:
    status, told = await conformance("--only", "nothing")
    assert (status, "no requirement begins with 'nothing'" in told) == (2, True)
