"""What a graph is, as JSON: the MCP tool, the A2A card and the REST assistant come from it."""

from __future__ import annotations

import inspect
import logging
from types import SimpleNamespace
from typing import Any, cast, get_type_hints

from langgraph.pregel import Pregel
from pydantic import TypeAdapter, WithJsonSchema
from typing_extensions import is_typeddict

from agenthub.agents import AgentInfo
from agenthub.json import JsonObject
from agenthub_langgraph.driver import adapted_of
from agenthub_langgraph.driver_schema import published

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
    adapted = adapted_of(graph)
    if adapted is not None:
        return published(
            adapted.info,
            name=name,
            title=adapted.info.title or _title(name),
            description=description or adapted.info.description or f"The agent {name!r}.",
            drawing=_drawing(graph, inside=False),
            drawing_inside=_drawing(graph, inside=True),
            environment=environment,
            code_version=code_version or adapted.info.code_version,
        )
    function = entrypoint_function(graph)
    output_keys = graph.output_channels
    return AgentInfo(
        name=name,
        title=_title(name),
        description=description or _doc(graph, function) or f"The agent {name!r}.",
        input_schema=_schema(graph, function, "input"),
        output_schema=_schema(graph, function, "output"),
        state_schema=_derived(graph.get_output_jsonschema),
        config_schema=_derived(graph.get_context_jsonschema),
        context_schema=_derived(graph.get_context_jsonschema),
        output_keys=None if isinstance(output_keys, str) else tuple(output_keys),
        drawing=_drawing(graph, inside=False),
        drawing_inside=_drawing(graph, inside=True),
        subgraphs=_subgraphs(graph),
        environment=environment,
        code_version=code_version,
    )


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def entrypoint_function(graph: AnyGraph) -> Any:
    """The user's function of an `@entrypoint`; None for a graph."""
    if set(graph.nodes) != {graph.name} and len(graph.nodes) != 1:
        return None
    node = next(iter(graph.nodes.values()))
    bound = node.bound
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None)
    channels = cast("dict[str, Any]", graph.channels)  # pyright: ignore[reportUnknownMemberType]  # generic in three ways
    return function if {"__end__", "__previous__"} <= channels.keys() else None


def _drawing(graph: AnyGraph, *, inside: bool) -> JsonObject:
    return _derived(lambda: cast("JsonObject", graph.get_graph(xray=inside).to_json())) or {}


def _subgraphs(graph: AnyGraph) -> JsonObject:
    """The schemas of the subgraphs at all depths, by namespace."""
    # LangGraph's protocol of a graph has no schemas; each of them is a Pregel all the same
    inner = _derived(lambda: dict(cast("Any", graph).get_subgraphs(recurse=True))) or {}
    found: JsonObject = {}
    for ns, subgraph in cast("dict[str, AnyGraph]", inner).items():
        state, context = subgraph.get_output_jsonschema, subgraph.get_context_jsonschema
        found[ns] = {
            "graph_id": subgraph.name,
            "input_schema": _derived(subgraph.get_input_jsonschema),
            "output_schema": _derived(state),
            "state_schema": _derived(state),
            "config_schema": _derived(context),
            "context_schema": _derived(context),
        }
    return found


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
        parameters = list(inspect.signature(function).parameters)
        name = "return" if which == "output" else parameters[0] if parameters else ""
        return _derived(lambda: _of(_hint(function, name))) or {}
    derive = graph.get_input_jsonschema if which == "input" else graph.get_output_jsonschema
    schema = _derived(derive) or {}
    return _loosened(schema) if _is_whole_state(graph, which) else schema


def _hint(function: Any, name: str) -> Any:
    """One resolved annotation: LangGraph sees strings where annotations are postponed. The others may
    name what is imported for type checkers alone."""
    function = inspect.unwrap(function)
    annotation = getattr(function, "__annotations__", {}).get(name)
    alone = SimpleNamespace(__annotations__={name: annotation})
    namespace = getattr(function, "__globals__", {})
    return get_type_hints(alone, globalns=namespace, include_extras=True).get(name)


def _is_whole_state(graph: AnyGraph, which: str) -> bool:
    """Whether a graph takes, or gives, its state as it is. Nothing makes a TypedDict be complete."""
    builder = getattr(graph, "builder", None)
    state = getattr(builder, "state_schema", None)
    return is_typeddict(state) and getattr(builder, f"{which}_schema", None) is state


def _loosened(schema: JsonObject) -> JsonObject:
    """Without `required`: a caller need not fill in what the graph works out, and a run need not write
    every key. A state of messages alone does need them."""
    if list(schema.get("properties", ())) == ["messages"]:
        return schema
    return {k: v for k, v in schema.items() if k != "required"}


def _of(hint: Any) -> JsonObject:
    final = getattr(hint, "__origin__", None)
    if getattr(final, "__qualname__", "").endswith("final"):
        hint = hint.__args__[0]
    for said in getattr(hint, "__metadata__", ()):
        if isinstance(said, WithJsonSchema) and said.json_schema is not None:
            # word for word: Pydantic would resolve its references, and drop what it does not know
            return said.json_schema
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
