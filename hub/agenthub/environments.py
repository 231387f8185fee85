"""Environments: the Python environments that a project's agents run in, as its agenthub.toml names them.

Frameworks pin packages that others cannot live with, so agents may be kept apart: one environment, one
worker. An environment that is named and not described is the hub's own interpreter, in a worker of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from agenthub.errors import Invalid

KEYS: Final = frozenset({"requirements", "python"})
_LOCAL: Final = re.compile(r"^(-r|--requirement|-c|--constraint|-e|--editable)(?:\s+|=)(.+)$")
_FILE: Final = re.compile(r"^(?:-r|--requirement|-c|--constraint)(?:\s+|=)(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """`requirements` are lines as of a requirements file, their paths absolute; or `python` is an
    interpreter that somebody else looks after. Neither: the hub's own."""

    name: str
    requirements: tuple[str, ...] = ()
    python: Path | None = None

    def files(self) -> list[Path]:
        """The requirements files that it names, and those that these name."""
        found: list[Path] = []
        lines = list(self.requirements)
        while lines:
            match = _FILE.match(lines.pop())
            if match is None:
                continue
            file = Path(match[1].strip()).resolve()
            if file not in found and file.is_file():
                found.append(file)
                text = file.read_text("utf-8").splitlines()
                lines += (_absolute(line.strip(), file.parent) for line in text)
        return sorted(found)


def read_environments(body: Mapping[str, Any], root: Path, where: str) -> dict[str, Environment]:
    """The `[environments.NAME]` tables of a configuration.

    Raises:
        Invalid: one makes no sense.
    """
    tables: Any = body.get("environments") or {}
    if not isinstance(tables, dict):
        raise Invalid(f"{where}: environments is not a table of names")
    found: dict[str, Environment] = {}
    for name, table in cast("dict[str, Any]", tables).items():
        at = f"[environments.{name}] in {where}"
        if not isinstance(table, dict):
            raise Invalid(f"{at} is not a table")
        fields = cast("dict[str, Any]", table)
        if unknown := set(fields) - KEYS:
            raise Invalid(
                f"{at}: unknown {', '.join(sorted(unknown))}; known: python, requirements"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise Invalid(f"{at}: a name has letters, digits, dots, _ and -, 64 at most")
        found[name] = _environment(name, fields, root, at)
    return found


def _environment(name: str, fields: Mapping[str, Any], root: Path, at: str) -> Environment:
    lines: Any = fields.get("requirements")
    python: Any = fields.get("python")
    if (lines is None) == (python is None):
        raise Invalid(f"{at} needs either requirements or python")
    if python is not None:
        if not isinstance(python, str) or not python:
            raise Invalid(f"{at}: python is the path of an interpreter")
        # not resolved: the interpreter of a virtual environment is a link
        return Environment(name=name, python=root / Path(python).expanduser())
    if not isinstance(lines, list) or not all(isinstance(x, str) for x in cast("list[Any]", lines)):
        raise Invalid(f"{at}: requirements is a list of texts")
    texts = [line.strip() for line in cast("list[str]", lines)]
    return Environment(
        name=name, requirements=tuple(_absolute(line, root) for line in texts if line)
    )


def _absolute(line: str, root: Path) -> str:
    """A line whose paths do not depend on where it is read."""
    match = _LOCAL.match(line)
    if match is not None:
        option, path = match[1], match[2].strip()
        return line if "://" in path else f"{option} {root / path}"
    if line.startswith((".", "~")):
        return str(root / Path(line).expanduser())
    return line
