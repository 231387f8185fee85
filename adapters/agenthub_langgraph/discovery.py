"""Discovery: import a project's code and find its agents.

A file that fails to import takes only its own agents away: each failure is reported by name with its
reason, and the others are served.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import IndexConfig, TTLConfig

from agenthub.adapting import Adapter, RemoteAdapter
from agenthub.agents import AgentInfo, slug
from agenthub.importing import module_of
from agenthub.project import AgentSource, Project
from agenthub.remotes import Remote
from agenthub_langgraph import frameworks
from agenthub_langgraph.describe import describe
from agenthub_langgraph.driver import to_graph
from agenthub_langgraph.embedding import index_of

log = logging.getLogger(__name__)

AnyGraph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Unasked:
    """An agent that is elsewhere, and has to be asked what it is: see `remotes`."""

    name: str
    obj: Any
    adapter: RemoteAdapter
    source: AgentSource


@dataclass(slots=True)
class Discovered:
    """The agents of one environment, and why others did not load."""

    graphs: dict[str, AnyGraph] = field(default_factory=dict[str, AnyGraph])
    infos: list[AgentInfo] = field(default_factory=list[AgentInfo])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    unasked: list[Unasked] = field(default_factory=list[Unasked])
    index: IndexConfig | None = None
    ttl: TTLConfig | None = None


def discover(project: Project, environment: str) -> Discovered:
    """Import what the project names for an environment."""
    frameworks.silence()
    root = str(project.root)
    if root not in sys.path:
        sys.path.insert(0, root)
    found = Discovered(index=index_of(project), ttl=cast("TTLConfig | None", project.ttl))
    for source in project.of(environment):
        name = source.name or slug(Path(source.file).stem)
        try:
            if source.remote is not None:
                found.unasked.append(_remote(name, source, source.remote))
                continue
            for agent, member in _agents(source):
                adapter = _adapter(member)
                if isinstance(adapter, RemoteAdapter):
                    found.unasked.append(Unasked(agent, member, adapter, source))
                else:
                    enter(found, agent, graph_of(member, name=agent), source, environment)
        except (Exception, SystemExit) as error:  # a script that ends by itself, too
            log.exception("agent %r cannot be loaded", name)
            hint = frameworks.missing(error) if isinstance(error, ImportError) else ""
            found.failures[name] = f"{type(error).__name__}: {error}{hint}"
    return found


def _remote(name: str, source: AgentSource, remote: Remote) -> Unasked:
    adapter = frameworks.remote_adapter()
    return Unasked(name, adapter.declared(remote), adapter, source)


def enter(
    found: Discovered, agent: str, graph: AnyGraph, source: AgentSource, environment: str
) -> None:
    """Add an agent to those that were found, under a name that none of them has."""
    if agent in found.graphs:
        clash = slug(f"{agent}-{Path(source.file).stem}")
        found.failures[clash] = f"another file has an agent {agent!r} too: rename one"
        return
    info = describe(
        agent,
        graph,
        description=source.description,
        environment=environment,
        code_version=_version(source.file),
    )
    found.graphs[agent] = graph
    found.infos.append(
        replace(
            info,
            task=source.task,
            card={**info.card, **source.card},
            annotations={**info.annotations, **source.annotations},
            prompts=tuple(dict(prompt) for prompt in source.prompts),
        )
    )


def _agents(source: AgentSource) -> Sequence[tuple[str, Any]]:
    module = module_of(source.file)
    if source.object is None:
        found = list(_members(module))
        if not found:
            log.info("%s defines no agent at module level", source.file)
        return found
    found_object = getattr(module, source.object, None)
    if found_object is None:
        raise LookupError(f"{source.file} has no {source.object!r}")
    name = source.name or slug(source.object)
    return [(name, found_object)]


def _members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    # a graph that was imported from elsewhere is that module's agent, not this one's
    seen = {id(member) for member in _imported(module)}
    for name, member in vars(module).items():
        if name.startswith("_") or id(member) in seen:
            continue
        if isinstance(member, Pregel) or frameworks.adapter_for(member) is not None:
            seen.add(id(member))  # pyright: ignore[reportUnknownArgumentType]
            yield slug(name), member


def _imported(module: ModuleType) -> Iterator[Any]:
    """The objects that a module's own import statements bind."""
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_bytes())):
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if alias.name == "*":
                yield from vars(_source_of(node, module)).values()
            else:
                yield getattr(module, alias.asname or alias.name, None)


def _source_of(node: ast.ImportFrom, module: ModuleType) -> ModuleType:
    name = "." * node.level + (node.module or "")
    return importlib.import_module(name, module.__package__)


def graph_of(obj: Any, *, name: str = "agent") -> AnyGraph:
    """A graph from what a project names: a graph, a builder, an agent of a framework that has an
    adapter, or a factory of one of them. `name` is what an agent of another framework is called.

    Raises:
        TypeError: it is none of these.
        Conflict: two adapters claim it.
    """
    graph = _graph(obj, name)
    if graph is not None:
        return graph
    if not callable(obj):
        what = "a graph, an @entrypoint or a factory, nor anything that an installed adapter knows"
        raise TypeError(f"{type(obj).__name__} is not an agent: {what}")
    parameters = [
        p
        for p in inspect.signature(obj).parameters.values()
        if p.default is inspect.Parameter.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(parameters) > 1:
        raise TypeError("a graph factory takes the run's config, or nothing")
    make = partial(obj, {"configurable": {}}) if parameters else obj
    made: Any = make()
    if (adapter := _adapter(made)) is not None:
        # one for each step: not every framework's agents bear two threads at once
        return to_graph(make, adapter, name=name, factory=True)
    graph = _graph(made, name)
    if graph is None:
        raise TypeError(f"the factory returned {type(made).__name__}, not a graph")
    return graph


def _graph(obj: Any, name: str) -> AnyGraph | None:
    if isinstance(obj, Pregel):
        return obj  # pyright: ignore[reportUnknownVariableType]
    if isinstance(obj, StateGraph):
        return obj.compile()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    adapter = _adapter(obj)
    return None if adapter is None else to_graph(obj, adapter, name=name)


def _adapter(obj: Any) -> Adapter | None:
    return None if isinstance(obj, (Pregel, StateGraph)) else frameworks.adapter_for(obj)


def _version(file: str) -> str:
    path = Path(file)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
