"""`agenthub conformance rest`, against this hub."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("agenthub")


async def conformance(*arguments: str) -> tuple[int | None, str]:
    """The exit status and all that was printed."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "conformance", "rest", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_server_that_does_what_is_required_is_told_so_in_a_table(hub_url: str) -> None:
    status, told = await conformance("--url", hub_url, "--only", "system:")
    assert status == 0, told
    assert "system:ok" in told
    assert "A server that is well says so." in told
    assert told.rstrip().endswith("3 requirements: 3 holds")


async def test_nothing_that_answers_is_a_sentence() -> None:
    status, told = await conformance("--url", "http://127.0.0.1:1")
    assert (status, "no server answers at http://127.0.0.1:1" in told) == (2, True)


async def test_a_choice_of_no_requirement_is_a_sentence(hub_url: str) -> None:
    status, told = await conformance("--url", hub_url, "--only", "nothing")
    assert (status, "no requirement begins with 'nothing'" in told) == (2, True)
