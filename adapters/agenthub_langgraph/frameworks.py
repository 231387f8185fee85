"""Plug-ins: which adapter speaks for an object that is no graph.

The entry-point group `agenthub.adapters` names adapters by the module prefix that they own. An object is
of a framework if one of its classes comes from there; the longest prefix wins. Nothing is imported to
find that out, and the adapter alone when it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from agenthub.adapting import Adapter, RemoteAdapter
from agenthub.errors import Conflict, Invalid

GROUP = "agenthub.adapters"
REMOTE = "agenthub_remote"
EXTRAS = {
    "agents": "openai-agents",
    "pydantic_ai": "pydantic-ai",
    "google.adk": "adk",
    "strands": "strands",
    "crewai": "crewai",
    "a2a": "remote",
    "mcp": "remote",
    "mcp_types": "remote",
    "httpx2": "remote",
    "jwt": "remote",
}
"""Frameworks that the hub has an adapter for, and the extra that installs what it takes."""
SILENT = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_TESTING": "true",
    "OPENAI_AGENTS_DISABLE_TRACING": "true",
}
"""What keeps frameworks from calling home and from asking on the terminal. They read it when a project
imports them, long before an adapter is looked for; what the environment says is left as it is."""


def silence() -> None:
    """Set what `SILENT` has, before a project is imported."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)


def adapter_for(obj: Any) -> Adapter | None:
    """Who speaks for an agent, be it an object or a class; None when nobody says that it is one.

    Raises:
        Conflict: two plug-ins own its prefix.
    """
    plugin = claimant(_modules(obj), _plugins())
    if plugin is None:
        return None
    adapter = _loaded(plugin)
    return adapter if adapter.detect(obj) else None


def remote_adapter() -> RemoteAdapter:
    """Who speaks for the agents that a project declares to be elsewhere.

    Raises:
        Invalid: this installation does not have it.
    """
    plugin = claimant([REMOTE], _plugins())
    adapter = None if plugin is None else _loaded(plugin)
    if not isinstance(adapter, RemoteAdapter):
        raise Invalid("remote agents need the package agenthub_remote, which is not installed")
    return adapter


def claimant(modules: Sequence[str], plugins: Sequence[EntryPoint]) -> EntryPoint | None:
    """The plug-in with the longest prefix among those that own one of these modules.

    Raises:
        Conflict: there are two.
    """
    owners = [p for p in plugins if any(m == p.name or m.startswith(f"{p.name}.") for m in modules)]
    longest = max((len(p.name) for p in owners), default=0)
    best = sorted({p.value: p for p in owners if len(p.name) == longest}.items())
    if len(best) > 1:
        names = " and ".join(value for value, _ in best)
        raise Conflict(
            f"two adapters own {best[0][1].name!r}: {names}; uninstall one of their packages"
        )
    return best[0][1] if best else None


def missing(error: ImportError) -> str:
    """What to install when a project's import failed for want of a framework; empty for other modules."""
    module = error.name or ""
    extra = next((e for p, e in EXTRAS.items() if module == p or p.startswith(f"{module}.")), None)
    if not module or extra is None:
        return ""
    return f"; install agenthub[{extra}] in the environment of this agent"


def forget() -> None:
    """Look for plug-ins anew at the next question: packages were installed meanwhile."""
    _plugins.cache_clear()
    _loaded.cache_clear()


def _modules(obj: Any) -> Sequence[str]:
    kind = cast("type[Any]", obj if isinstance(obj, type) else type(obj))
    return [str(base.__module__) for base in kind.__mro__]


@lru_cache
def _plugins() -> Sequence[EntryPoint]:
    return tuple(entry_points(group=GROUP))


@lru_cache
def _loaded(plugin: EntryPoint) -> Adapter:
    found: Any = plugin.load()
    adapter: Any = found() if isinstance(found, type) else found
    if not isinstance(adapter, Adapter):
        raise TypeError(f"{plugin.value} is no adapter: see agenthub.adapting.Adapter")
    return adapter
