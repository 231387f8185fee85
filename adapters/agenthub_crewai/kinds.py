"""What CrewAI has: agents, crews and flows, and what there is to know of each."""

from __future__ import annotations

import inspect
from typing import Any, Final, Literal, TypeAlias, cast

from agenthub.agents import AgentInfo
from agenthub.json import Json, JsonObject
from agenthub_crewai import messages as m

Kind: TypeAlias = Literal["agent", "crew", "flow"]

_CLASSES: Final[dict[str, Kind]] = {
    "crewai.crew.Crew": "crew",
    "crewai.agents.agent_builder.base_agent.BaseAgent": "agent",
    "crewai.flow.runtime.Flow": "flow",
}
SAID: Final = frozenset({"message", "input", "query", "question", "request", "topic", "task"})
"""Inputs that a user's message is the value of, when nobody gives them another."""


def kind(obj: Any) -> Kind | None:
    """Which of them it is, by the names of its classes; of flows the class will do."""
    cls = cast("type[Any]", obj if isinstance(obj, type) else type(obj))
    names: list[str] = [f"{k.__module__}.{k.__qualname__}" for k in cls.__mro__]
    found: Kind | None = next((_CLASSES[n] for n in names if n in _CLASSES), None)
    if isinstance(obj, type) and (found != "flow" or names[0].startswith("crewai.")):
        return None
    return found


def describe(obj: Any) -> AgentInfo:
    """Name, description and schemas."""
    match kind(obj):
        case "crew":
            return _crew(obj)
        case "flow":
            return _flow(obj)
        case _:
            return AgentInfo(name=obj.role, title=obj.role, description=obj.goal)


def output(result: Any) -> Json:
    """The typed output of an agent or a crew; None where it is words."""
    if result.pydantic is not None:
        return m.plain(result.pydantic)
    return getattr(result, "json_dict", None)


def inputs(flow: Any) -> list[str]:
    """The fields of a flow's state that a kickoff may set; empty where it takes any."""
    fields: Any = getattr(flow.state, "__pydantic_fields__", {})
    return [str(name) for name in fields if name != "id"]


def _crew(crew: Any) -> AgentInfo:
    names = sorted(crew.fetch_inputs())
    last = crew.tasks[-1] if crew.tasks else None
    model = last and (last.output_pydantic or last.output_json)
    schema: JsonObject = {"type": "object", "properties": {n: {"type": "string"} for n in names}}
    return AgentInfo(
        name=crew.name or "",
        title=crew.name,
        description=last.expected_output if last else "",
        input_schema=schema if names else {},
        output_schema=model.model_json_schema() if model else {},
    )


def _flow(flow: Any) -> AgentInfo:
    cls = flow if isinstance(flow, type) else type(flow)
    own: Any = flow() if isinstance(flow, type) else flow
    name = getattr(own, "name", None) or cls.__name__
    schema: JsonObject = {}
    if inputs(own):
        schema = own.state.model_json_schema()
        schema["properties"].pop("id", None)
    described = cls.__doc__ if "__doc__" in vars(cls) else ""
    return AgentInfo(
        name=str(name),
        title=str(name),
        description=inspect.cleandoc(described or ""),
        input_schema=schema,
    )
