"""`agenthub dev --conformance`: the agent that the official A2A suites ask for, beside a project.

The suites start their webhooks on this machine, which no hub calls otherwise, and call the hub's default
agent over gRPC: both are so here alone, and never in production.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from agenthub.config import Config
from agenthub.errors import NotFound
from agenthub.project import Project, read_project

AGENT: Final = "tck"
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
NOTE: Final = f"For the A2A suites: the agent {AGENT}, and webhooks to this machine."


def agent_file() -> Path:
    """Where the agent is described."""
    return Path(str(files("agenthub_conformance"))) / "a2a" / "conformance.toml"


def widened(config: Config) -> Config:
    """The configuration with what the suites need."""
    return replace(
        config,
        outbound_networks=(*config.outbound_networks, *LOOPBACK),
        default_agent=config.default_agent or AGENT,
    )


def projects(target: Path) -> list[tuple[Project, Path]]:
    """The project at `target`, if there is one, and the suites' agent behind it, each with where it is."""
    suites = read_project(agent_file()), agent_file()
    try:
        return [(read_project(target), target), suites]
    except NotFound:
        return [suites]
