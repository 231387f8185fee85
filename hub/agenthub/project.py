"""A project: which agents there are and where their code is, read from what the user has.

A Python file, a folder of them, an `agenthub.toml`, or a `langgraph.json` read as it is. Nothing is
imported here; workers do that, each in its own environment.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agenthub.agents import TaskSupport, slug
from agenthub.errors import Invalid, NotFound

AGENT_KEYS = {"path", "description", "environment", "task"}
TOP_KEYS = {"agents", "environments", "store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSource:
    """Where one agent's code is: `file` and the name of the object in it, or None for all in it."""

    file: str
    object: str | None
    name: str | None = None
    description: str | None = None
    environment: str = "default"
    task: TaskSupport = "optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What `dev` and `work` serve. `root` is where relative paths and imports start; `index` is the
    store's semantic index: `{"dims", "embed", "fields"}`."""

    root: Path
    sources: tuple[AgentSource, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    index: Mapping[str, Any] | None = None
    config_file: Path | None = None

    @property
    def environments(self) -> list[str]:
        """The environments that agents run in, by name."""
        return sorted({s.environment for s in self.sources}) or ["default"]

    def of(self, environment: str) -> tuple[AgentSource, ...]:
        """The agents of one environment."""
        return tuple(s for s in self.sources if s.environment == environment)


def read_project(target: Path) -> Project:
    """Read a project from a file or folder.

    Raises:
        NotFound: there is nothing at `target`, or nothing in it.
        Invalid: its configuration cannot be understood.
    """
    target = target.resolve()
    if target.is_dir():
        for name in ("agenthub.toml", "langgraph.json"):
            if (target / name).exists():
                return read_project(target / name)
        files = sorted(
            f for f in target.glob("*.py") if not f.name.startswith(("_", "test_", "conftest"))
        )
        if not files:
            raise NotFound(f"{target} has no agenthub.toml, no langgraph.json and no Python file")
        return Project(
            root=target, sources=tuple(AgentSource(file=str(f), object=None) for f in files)
        )
    if not target.exists():
        raise NotFound(f"there is no file or folder {target}")
    if target.suffix == ".py":
        return Project(root=target.parent, sources=(AgentSource(file=str(target), object=None),))
    if target.suffix == ".toml":
        return _from_toml(target)
    if target.suffix == ".json":
        return _from_langgraph(target)
    raise Invalid(
        f"{target.name!r}: give a Python file, a folder, an agenthub.toml or a langgraph.json"
    )


def _from_toml(file: Path) -> Project:
    try:
        body = tomllib.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise Invalid(f"{file.name} is not valid TOML: {error}") from None
    _only(body, TOP_KEYS, file.name)
    sources: list[AgentSource] = []
    for name, agent in _table(body, "agents", file.name).items():
        where = f"[agents.{name}] in {file.name}"
        if not isinstance(agent, dict) or "path" not in agent:
            raise Invalid(f"{where} needs a path")
        fields = cast("dict[str, Any]", agent)
        _only(fields, AGENT_KEYS, where)
        for key in ("description", "environment"):
            if not isinstance(fields.get(key, ""), str):
                raise Invalid(f"{where}: {key} is a text")
        if fields.get("task", "optional") not in ("forbidden", "optional", "required"):
            raise Invalid(f"{where}: task is forbidden, optional or required")
        path, object_ = _split(file.parent, str(fields["path"]), where)
        sources.append(
            AgentSource(
                file=path,
                object=object_,
                name=slug(name),
                description=fields.get("description"),
                environment=fields.get("environment", "default"),
                task=fields.get("task", "optional"),
            )
        )
    index = _index(file.parent, body.get("store"), file.name)
    return Project(root=file.parent, sources=tuple(sources), index=index, config_file=file)


def _from_langgraph(file: Path) -> Project:
    try:
        loaded: Any = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise Invalid(f"{file.name} is not valid JSON: {error}") from None
    if not isinstance(loaded, dict):
        raise Invalid(f"{file.name} is not a JSON object")
    body = cast("dict[str, Any]", loaded)
    for later in ("auth", "encryption"):
        if later in body:
            raise Invalid(
                f"{file.name}: {later!r} is not supported yet; remove it to start without it"
            )
    sources: list[AgentSource] = []
    for name, graph in _table(body, "graphs", file.name).items():
        spec: Any = {"path": graph} if isinstance(graph, str) else graph
        where = f"graphs.{name} in {file.name}"
        if not isinstance(spec, dict) or "path" not in spec:
            raise Invalid(f"{where} needs a path")
        spec = cast("dict[str, Any]", spec)
        path, object_ = _split(file.parent, str(spec["path"]), where)
        sources.append(
            AgentSource(
                file=path, object=object_, name=slug(name), description=spec.get("description")
            )
        )
    return Project(
        root=file.parent,
        sources=tuple(sources),
        env=_env(file.parent, body.get("env")),
        index=_index(file.parent, body.get("store"), file.name),
        config_file=file,
    )


def _index(root: Path, store: Any, where: str) -> dict[str, Any] | None:
    if not store:
        return None
    index = dict(_table(_table({"store": store}, "store", where), "index", where))
    if not index:
        return None
    if not isinstance(index.get("dims"), int) or not isinstance(index.get("embed"), str):
        raise Invalid(
            f"{where}: store.index needs dims (a number) and embed (FILE:NAME or a model)"
        )
    file, _, name = str(index["embed"]).rpartition(":")
    if file.endswith(".py"):
        index["embed"] = f"{(root / file).resolve()}:{name}"
    return index


def _split(root: Path, path: str, where: str) -> tuple[str, str]:
    file, _, name = path.rpartition(":")
    if not file or not name:
        raise Invalid(f"{where}: path is MODULE_OR_FILE:NAME, not {path!r}")
    if file.endswith(".py") or os.sep in file:
        file = str((root / file).resolve())
    return file, name


def _env(root: Path, env: Any) -> dict[str, str]:
    if env is None:
        return {}
    if isinstance(env, dict):
        return {str(k): str(v) for k, v in cast("dict[Any, Any]", env).items()}
    file = root / str(env)
    if not file.exists():
        raise Invalid(f"the env file {file.name!r} does not exist")
    pairs: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            pairs[key.removeprefix("export ").strip()] = value.strip().strip("\"'")
    return pairs


def _table(body: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found: Any = body.get(key) or {}
    if not isinstance(found, dict):
        raise Invalid(f"{where}: {key} is not a table of names")
    return cast("dict[str, Any]", found)


def _only(body: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = set(body) - known
    if unknown:
        raise Invalid(
            f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
