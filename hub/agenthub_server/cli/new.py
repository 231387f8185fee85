"""`agenthub new`: a project to begin with. It is the framework's example, which the tests run."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any, Final

from agenthub.errors import Conflict, NotFound

EXAMPLES: Final = {
    "langgraph": "quickstart",
    "openai-agents": "openai_agents",
    "pydantic-ai": "pydantic_ai",
    "adk": "adk",
    "strands": "strands",
    "crewai": "crewai",
}
"""Frameworks, and the folder of each one's example."""
IGNORED: Final = ".agenthub/\n__pycache__/\n.env\n"
_CHECKOUT: Final = Path(__file__).parents[3] / "adapters" / "examples"
_INSTALLED: Final = Path(__file__).parents[2] / "agenthub_examples"


def add_command(commands: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    """Add `new` to the command line."""
    new = commands.add_parser("new", help="write a project to begin with")
    new.add_argument("name", type=Path, help="the folder to make")
    new.add_argument(
        "--framework",
        choices=tuple(EXAMPLES),
        default="langgraph",
        help="what its agent is written with (default: langgraph)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the project, and say what to do next.

    Raises:
        Conflict: the folder exists.
        NotFound: this installation came without examples.
    """
    folder: Path = args.name
    if folder.exists():
        raise Conflict(f"{folder} exists: choose another name, or remove it first")
    found = example(args.framework)
    shutil.copytree(found, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (folder / ".gitignore").write_text(IGNORED, "utf-8")
    print(f"{folder} has an agent of {args.framework}. Next:\n\n  cd {folder}\n  agenthub dev")  # noqa: T201  # the command's own output
    return 0


def example(framework: str) -> Path:
    """The folder of a framework's example.

    Raises:
        NotFound: this installation came without examples.
    """
    for examples in (_CHECKOUT, _INSTALLED):
        found = examples / EXAMPLES[framework]
        if found.is_dir():
            return found
    raise NotFound(f"this installation has no example of {framework}: install agenthub anew")
