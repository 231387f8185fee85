"""A project: which agents there are and where their code is, read from what the user has.

A Python file, a folder of them, an `agenthub.toml`, or a `langgraph.json` read as it is. Nothing is
imported here; workers do that, each in its own environment.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values

from agenthub import declared
from agenthub.agents import CARD_KEYS, TaskSupport, slug
from agenthub.archive import ThreadTtl
from agenthub.declared import PassedOn, Webhooks
from agenthub.environments import Environment, read_environments
from agenthub.errors import Invalid, NotFound
from agenthub.prompts import read_annotations, read_prompts
from agenthub.remotes import Remote, read_remote

AGENT_KEYS = {
    "path",
    "remote",
    "description",
    "environment",
    "task",
    "card",
    "annotations",
    "prompts",
}
EXTENDED_KEYS = {"description", "skills"}
SKILL_KEYS = {"id", "name", "description", "tags", "examples", "input_modes", "output_modes"}
TOP_KEYS = {"agents", "environments", "store", "http", "checkpointer", "webhooks"}
SURFACES = ("mcp", "a2a")
CORS = {
    "allow_origins", "allow_origin_regex", "allow_methods", "allow_headers", "allow_credentials",
    "expose_headers", "max_age",
}  # fmt: skip
BUILD = {
    "$schema", "python_version", "node_version", "api_version", "base_image", "image_distro", "source",
    "pip_config_file", "pip_installer", "dockerfile_lines", "dependencies", "keep_pkg_tools", "ui",
    "ui_config",
}  # fmt: skip
"""Keys of a langgraph.json that say how an image is built, which is none of our business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSource:
    """Where one agent's code is: `file` and the name of the object in it, or None for all in it. One that
    is `remote` has no code here."""

    file: str
    object: str | None
    name: str | None = None
    description: str | None = None
    environment: str = "default"
    task: TaskSupport = "optional"
    card: Mapping[str, Any] = field(default_factory=dict[str, Any])
    annotations: Mapping[str, bool] = field(default_factory=dict[str, bool])
    prompts: tuple[Mapping[str, Any], ...] = ()
    remote: Remote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """What a project says about the server: its own application (FILE_OR_MODULE:NAME), CORS settings in
    Starlette's words, surfaces (`mcp`, `a2a`) that it does without, webhooks, and the headers of requests
    that runs get to see."""

    app: str | None = None
    cors: Mapping[str, Any] = field(default_factory=dict[str, Any])
    without: frozenset[str] = frozenset()
    webhooks: Webhooks = field(default_factory=Webhooks)
    passed_on: PassedOn = field(default_factory=PassedOn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What `dev` and `work` serve. `root` is where relative paths and imports start; `index` is the
    store's semantic index: `{"dims", "embed", "fields"}`; `ttl` its items' time to live:
    `{"default_ttl", "refresh_on_read"}`, minutes; `thread_ttl` is that of threads that do not have their
    own. `described` are environments by name. `ignored` are settings that have no effect here."""

    root: Path
    sources: tuple[AgentSource, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    index: Mapping[str, Any] | None = None
    ttl: Mapping[str, Any] | None = None
    thread_ttl: ThreadTtl | None = None
    http: Http = field(default_factory=Http)
    ignored: tuple[str, ...] = ()
    described: Mapping[str, Environment] = field(default_factory=dict[str, Environment])
    config_file: Path | None = None

    @property
    def environments(self) -> list[str]:
        """The environments that agents run in, by name."""
        return sorted({s.environment for s in self.sources}) or ["default"]

    def fill(self, variables: MutableMapping[str, str]) -> None:
        """Add the project's variables; those that are set already stay."""
        for name, value in self.env.items():
            variables.setdefault(name, value)

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
        fields = cast("dict[str, Any]", agent if isinstance(agent, dict) else {})
        if not {"path", "remote"} & set(fields):
            raise Invalid(f"{where} needs a path, or a remote")
        _only(fields, AGENT_KEYS, where)
        for key in ("description", "environment"):
            if not isinstance(fields.get(key, ""), str):
                raise Invalid(f"{where}: {key} is a text")
        if fields.get("task", "optional") not in ("forbidden", "optional", "required"):
            raise Invalid(f"{where}: task is forbidden, optional or required")
        path, object_, remote = _place(file.parent, fields, where)
        sources.append(
            AgentSource(
                file=path,
                object=object_,
                remote=remote,
                name=slug(name),
                description=fields.get("description"),
                environment=fields.get("environment", "default"),
                task=fields.get("task", "optional"),
                card=_card(fields, where),
                annotations=read_annotations(fields, where),
                prompts=read_prompts(fields, where),
            )
        )
    described = read_environments(body, file.parent, file.name)
    for source in sources:
        if described and source.environment not in {"default", *described}:
            known = ", ".join(sorted(described))
            raise Invalid(
                f"[agents.{source.name}] in {file.name}: there is no [environments."
                f"{source.environment}]; there are: {known}"
            )
    http, ignored = _http(file.parent, body, file.name)
    return Project(
        root=file.parent,
        sources=tuple(sources),
        described=described,
        index=_index(file.parent, body.get("store"), file.name),
        ttl=_ttl(body.get("store"), file.name),
        thread_ttl=_thread_ttl(body, file.name),
        http=http,
        ignored=tuple(ignored),
        config_file=file,
    )


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
    http, ignored = _http(file.parent, body, file.name)
    others = set(body) - BUILD - {"graphs", "env", "store", "http", "checkpointer", "webhooks"}
    return Project(
        root=file.parent,
        sources=tuple(sources),
        env=_env(file.parent, body.get("env")),
        index=_index(file.parent, body.get("store"), file.name),
        ttl=_ttl(body.get("store"), file.name),
        thread_ttl=_thread_ttl(body, file.name),
        http=http,
        ignored=(*sorted(others), *ignored),
        config_file=file,
    )


def _card(agent: dict[str, Any], where: str) -> dict[str, Any]:
    """What is said for directories: checked here, where the mistake can be named."""
    card = _table(agent, "card", where)
    where = f"card of {where}"
    _only(card, set(CARD_KEYS), where)
    _texts(card, where)
    provider = _table(card, "provider", where)
    if "provider" in card and (
        set(provider) != {"organization", "url"}
        or not all(isinstance(value, str) for value in provider.values())
    ):
        raise Invalid(f"{where}: provider needs organization and url")
    _skills(card, where)
    if card.get("reply", "task") not in ("task", "auto"):
        raise Invalid(f"{where}: reply is task or auto")
    extended = _table(card, "extended", where)
    _only(extended, EXTENDED_KEYS, f"extended {where}")
    _texts(extended, f"extended {where}")
    _skills(extended, f"extended {where}")
    return card


def _skills(card: Mapping[str, Any], where: str) -> None:
    skills: Any = card.get("skills", [])
    if not isinstance(skills, list):
        raise Invalid(f"{where}: skills is a list of tables")
    for skill in cast("list[Any]", skills):
        if not isinstance(skill, dict) or not {"id", "name"} <= set(cast("Any", skill)):
            raise Invalid(f"{where}: a skill needs an id and a name")
        _only(cast("dict[str, Any]", skill), SKILL_KEYS, f"a skill of the {where}")
        _texts(cast("dict[str, Any]", skill), f"a skill of the {where}")


def _texts(body: Mapping[str, Any], where: str) -> None:
    """Texts are texts, and lists of them are lists of texts."""
    for key, value in body.items():
        if key in ("examples", "input_modes", "output_modes", "tags"):
            items = cast("list[Any]", value) if isinstance(value, list) else [None]
            if not all(isinstance(item, str) for item in items):
                raise Invalid(f"{where}: {key} is a list of texts")
        elif key not in ("provider", "skills", "extended") and not isinstance(value, str):
            raise Invalid(f"{where}: {key} is a text")


def _http(root: Path, body: Mapping[str, Any], where: str) -> tuple[Http, list[str]]:
    """The `http` section, and what of it has no effect."""
    http = _table(body, "http", where)
    app = http.get("app")
    if app is not None:
        app = ":".join(_split(root, str(app), f"{where}: http.app"))
    cors = _table(http, "cors", f"{where}: http")
    _only(cors, CORS, f"{where}: http.cors")
    without = frozenset(name for name in SURFACES if http.get(f"disable_{name}"))
    known = {"app", "cors", "configurable_headers", "disable_webhooks"}
    known |= {f"disable_{name}" for name in SURFACES}
    webhooks = _table(body, "webhooks", where)
    ignored = [f"http.{key}" for key in sorted(set(http) - known)]
    url = _table(webhooks, "url", f"{where}: webhooks")
    ignored += [f"webhooks.url.{key}" for key in sorted(set(url) - declared.URL_KEYS)]
    checkpointer = _table(body, "checkpointer", where)
    ignored += [f"checkpointer.{key}" for key in sorted(set(checkpointer) - {"ttl"})]
    read = Http(
        app=app,
        cors=cors,
        without=without,
        webhooks=declared.webhooks(webhooks, where, disabled=bool(http.get("disable_webhooks"))),
        passed_on=declared.passed_on(_table(http, "configurable_headers", where), where),
    )
    return read, ignored


def _thread_ttl(body: Mapping[str, Any], where: str) -> ThreadTtl | None:
    checkpointer = _table(body, "checkpointer", where)
    return declared.thread_ttl(_table(checkpointer, "ttl", f"{where}: checkpointer"), where)


def _ttl(store: Any, where: str) -> dict[str, Any] | None:
    ttl = _table(_table({"store": store}, "store", where), "ttl", where)
    for key in ("default_ttl", "sweep_interval_minutes"):
        if not isinstance(ttl.get(key, 0), (int, float, type(None))):
            raise Invalid(f"{where}: store.ttl.{key} is a number of minutes")
    return ttl or None


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


def _place(
    root: Path, agent: Mapping[str, Any], where: str
) -> tuple[str, str | None, Remote | None]:
    """Where an agent is: a file and the name in it, or somewhere else."""
    if "remote" not in agent:
        return *_split(root, str(agent["path"]), where), None
    if "path" in agent:
        raise Invalid(f"{where} has a path and a remote: it can be at one place only")
    return "", None, read_remote(agent["remote"], where)


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
    return {key: value for key, value in dotenv_values(file).items() if value is not None}


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
