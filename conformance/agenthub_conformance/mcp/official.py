"""The official suite (`@modelcontextprotocol/conformance`): running it, and what it found.

It needs Node 22 or newer. Nothing is expected to fail: there is no baseline.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

PACKAGE: Final = "@modelcontextprotocol/conformance"
NEW: Final = "0.2.0-alpha.12"
OLD: Final = "0.1.16"
LEAST_NODE: Final = 22
PATIENCE_SECONDS: Final = 240.0

Status: TypeAlias = Literal["success", "failure", "warning", "skipped", "info"]


@dataclass(frozen=True, slots=True)
class Suite:
    """One way to run it: `version` of the package and its arguments."""

    version: str
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called in tables: `0.2.0-alpha.12 --suite all`."""
        return " ".join((self.version, *self.arguments))


SUITES: Final = (
    Suite(OLD, ("--suite", "all")),
    Suite(NEW, ("--requirements", "2025-11-25")),
    Suite(NEW, ("--requirements", "2026-07-28")),
    Suite(NEW, ("--suite", "all")),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a scenario. `told` says why it does not hold."""

    scenario: str
    id: str
    status: Status
    told: str = ""

    @property
    def failed(self) -> bool:
        """Whether the server does not do what it should; a warning is a failure here."""
        return self.status in ("failure", "warning")


class NoNode(Exception):
    """There is no Node to run the suite with."""


async def npx(version: str) -> list[str]:
    """The program that runs a version of the suite, fetched by npx.

    Raises:
        NoNode: with a sentence that says what is missing.
    """
    node, npx_ = shutil.which("node"), shutil.which("npx")
    if node is None or npx_ is None:
        raise NoNode(f"the official suite needs Node ≥ {LEAST_NODE} with npx, and there is none")
    asked = await asyncio.create_subprocess_exec(
        node, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    told = (await asked.communicate())[0].decode().strip()
    found = re.match(r"v(\d+)", told)
    if found is None or int(found[1]) < LEAST_NODE:
        raise NoNode(f"the official suite needs Node ≥ {LEAST_NODE}, and this is {told or 'none'}")
    return [npx_, "-y", f"{PACKAGE}@{version}"]


async def run_suite(program: Sequence[str | Path], url: str, suite: Suite) -> list[Check]:
    """Run a suite against an MCP endpoint; its checks, in the order of their scenarios.

    Raises:
        TimeoutError: it takes longer than `PATIENCE_SECONDS`.
        RuntimeError: it could not run at all.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *map(str, program),
            *("server", "--url", url, *suite.arguments, "-o", folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
            if _is_local(url)
            else None,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        checks = _read(Path(folder))
    if not checks:
        raise RuntimeError(f"the official suite {suite.name} did not run: {_end(output)}")
    return checks


def _read(folder: Path) -> list[Check]:
    found: list[Check] = []
    for file in sorted(folder.glob("*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name)
        for raw in cast("list[dict[str, Any]]", json.loads(file.read_text("utf-8"))):
            status = cast("Status", str(raw["status"]).lower())
            found.append(Check(scenario, raw["id"], status, raw.get("errorMessage") or ""))
    return found


def _is_local(url: str) -> bool:
    return re.match(r"https?://(localhost|127\.|\[::1\])", url) is not None


def _end(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return " ".join(lines[-3:]) or "it printed nothing"
