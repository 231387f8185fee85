"""Discovery: import a project's code and find its agents.

A file that fails to import takes only its own agents away: each failure is reported by name with its
reason, and the others are served.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import IndexConfig

from agenthub.agents import AgentInfo, slug
from agenthub.project import AgentSource, Project
from agenthub_langgraph.describe import describe

log = logging.getLogger(__name__)

AnyGraph = Pregel[Any, Any, Any, Any]


@dataclass(slots=True)
class Discovered:
    """The agents of one environment, and why others did not load."""

    graphs: dict[str, AnyGraph] = field(default_factory=dict[str, AnyGraph])
    infos: list[AgentInfo] = field(default_factory=list[AgentInfo])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    index: IndexConfig | None = None


def discover(project: Project, environment: str) -> Discovered:
    """Import what the project names for an environment."""
    root = str(project.root)
    if root not in sys.path:
        sys.path.insert(0, root)
    found = Discovered(index=_index(project))
    for source in project.of(environment):
        name = source.name or slug(Path(source.file).stem)
        try:
            for agent, graph in _graphs(source):
                if agent in found.graphs:
                    clash = slug(f"{agent}-{Path(source.file).stem}")
                    found.failures[clash] = f"another file has an agent {agent!r} too: rename one"
                    continue
                info = describe(
                    agent,
                    graph,
                    description=source.description,
                    environment=environment,
                    code_version=_version(source.file),
                )
                found.graphs[agent] = graph
                found.infos.append(info)
        except Exception as error:
            log.exception("agent %r cannot be loaded", name)
            found.failures[name] = f"{type(error).__name__}: {error}"
    return found


def _index(project: Project) -> IndexConfig | None:
    """The store's index, with its embedding function loaded."""
    if project.index is None:
        return None
    index = dict(project.index)
    file, _, name = str(index["embed"]).rpartition(":")
    if file.endswith(".py"):
        index["embed"] = getattr(_module(file), name)
    return cast("IndexConfig", index)


def _graphs(source: AgentSource) -> Sequence[tuple[str, AnyGraph]]:
    module = _module(source.file)
    if source.object is None:
        found = list(_members(module))
        if not found:
            log.info("%s defines no agent at module level", source.file)
        return found
    found_object = getattr(module, source.object, None)
    if found_object is None:
        raise LookupError(f"{source.file} has no {source.object!r}")
    return [(source.name or slug(source.object), graph_of(found_object))]


def _members(module: ModuleType) -> Iterator[tuple[str, AnyGraph]]:
    seen: set[int] = set()
    for name, member in vars(module).items():
        if name.startswith("_") or id(member) in seen:
            continue
        if isinstance(member, Pregel) and _defined_in(member, module):
            seen.add(id(member))  # pyright: ignore[reportUnknownArgumentType]
            yield slug(name), member


def _defined_in(graph: Any, module: ModuleType) -> bool:
    """A graph that was imported from elsewhere is that module's agent, not this one's."""
    nodes = list(graph.nodes.values())
    function = getattr(nodes[0].bound, "func", None) or getattr(nodes[0].bound, "afunc", None)
    home = getattr(function, "__module__", module.__name__)
    return len(nodes) != 1 or home == module.__name__


def graph_of(obj: Any) -> AnyGraph:
    """A graph from what a project names: a graph, a builder, or a factory of one of them.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(obj, Pregel):
        return obj  # pyright: ignore[reportUnknownVariableType]
    if isinstance(obj, StateGraph):
        return obj.compile()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if callable(obj):
        parameters = [
            p
            for p in inspect.signature(obj).parameters.values()
            if p.default is inspect.Parameter.empty
        ]
        if len(parameters) > 1:
            raise TypeError("a graph factory takes the run's config, or nothing")
        made = obj({"configurable": {}}) if parameters else obj()
        if isinstance(made, (Pregel, StateGraph)):
            return graph_of(made)
        raise TypeError(f"the factory returned {type(made).__name__}, not a graph")  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(f"{type(obj).__name__} is not an agent: a graph, an @entrypoint or a factory")


def _module(file: str) -> ModuleType:
    if not file.endswith(".py"):
        return importlib.import_module(file)
    path = Path(file)
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # user code pickles and resolves annotations by module name
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _version(file: str) -> str:
    path = Path(file)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else ""
