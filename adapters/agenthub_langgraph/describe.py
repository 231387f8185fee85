"""What a graph is, as JSON: the MCP tool, the A2A card and the REST assistant come from it."""

from __future__ import annotations

import inspect
import logging
from typing import Any, cast, get_type_hints

from langgraph.pregel import Pregel
from pydantic import TypeAdapter

from agenthub.agents import AgentInfo
from agenthub.json import JsonObject

log = logging.getLogger(__name__)

AnyGraph = Pregel[Any, Any, Any, Any]


def describe(
    name: str,
    graph: AnyGraph,
    *,
    description: str | None = None,
    environment: str = "default",
    code_version: str = "",
) -> AgentInfo:
    """The description that a worker publishes. Schemas that cannot be derived are left empty."""
    function = entrypoint_function(graph)
    output_keys = graph.output_channels
    return AgentInfo(
        name=name,
        title=name.replace("_", " ").replace("-", " ").strip().capitalize(),
        description=description or _doc(graph, function) or f"The agent {name!r}.",
        input_schema=_schema(graph, function, "input"),
        output_schema=_schema(graph, function, "output"),
        state_schema=_derived(graph.get_output_jsonschema),
        config_schema=_derived(graph.get_context_jsonschema),
        context_schema=_derived(graph.get_context_jsonschema),
        output_keys=None if isinstance(output_keys, str) else tuple(output_keys),
        drawing=_derived(lambda: cast("JsonObject", graph.get_graph().to_json())) or {},
        environment=environment,
        code_version=code_version,
    )


def entrypoint_function(graph: AnyGraph) -> Any:
    """The user's function of an `@entrypoint`; None for a graph."""
    if set(graph.nodes) != {graph.name} and len(graph.nodes) != 1:
        return None
    node = next(iter(graph.nodes.values()))
    bound = node.bound
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None)
    channels = cast("dict[str, Any]", graph.channels)  # pyright: ignore[reportUnknownMemberType]  # generic in three ways
    return function if {"__end__", "__previous__"} <= channels.keys() else None


def _doc(graph: AnyGraph, function: Any) -> str:
    if function is not None:
        return inspect.getdoc(function) or ""
    builder = getattr(graph, "builder", None)
    state = getattr(builder, "state_schema", None)
    doc = (getattr(state, "__doc__", None) or "") if state is not None else ""
    # a TypedDict without a docstring inherits dict's
    return "" if doc.startswith("dict(") or state in (dict, None) else inspect.cleandoc(doc)


def _schema(graph: AnyGraph, function: Any, which: str) -> JsonObject:
    if function is not None:
        # with postponed annotations LangGraph sees strings, so the types are resolved here
        try:
            hints = get_type_hints(function, include_extras=True)
            if which == "output":
                hint = hints.get("return")
            else:
                parameters = list(inspect.signature(function).parameters)
                hint = hints.get(parameters[0]) if parameters else None
            return {} if hint is None else _of(hint)
        except Exception as error:
            log.debug("no %s schema for %s: %s", which, function, error)
            return {}
    derive = graph.get_input_jsonschema if which == "input" else graph.get_output_jsonschema
    return _derived(derive) or {}


def _of(hint: Any) -> JsonObject:
    final = getattr(hint, "__origin__", None)
    if getattr(final, "__qualname__", "").endswith("final"):
        hint = hint.__args__[0]
    if hint in (Any, dict, None, type(None)):
        return {}
    return TypeAdapter(hint).json_schema()


def _derived(derive: Any) -> JsonObject | None:
    try:
        return cast("JsonObject | None", derive())
    except Exception as error:
        # `typing.TypedDict` on Python < 3.12, values without a schema: the agent works all the same
        log.debug("no schema: %s", error)
        return None
