"""Tools: one per agent, made from what the agents' workers published.

Made once for each version of the catalogue and kept in memory, validators compiled, so that a call
costs no query and no compilation. The order is by name, always.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import mcp_types as types
from jsonschema.protocols import Validator

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.json import JsonObject
from agenthub_mcp import schemas
from agenthub_mcp.extras import annotations_of, icons_of
from agenthub_mcp.schemas import InputForm

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentTool:
    """An agent as a tool, with what is needed to translate its calls."""

    info: AgentInfo
    tool: types.Tool
    form: InputForm
    arguments: Validator | None
    result: Validator | None
    wrapped: bool
    takes_thread: bool


def agent_tool(info: AgentInfo) -> AgentTool:
    """The tool that an agent is."""
    info = replace(
        info,
        input_schema=schemas.rooted(info.input_schema),
        output_schema=schemas.rooted(info.output_schema),
    )
    form = schemas.input_form(info.input_schema)
    arguments = schemas.arguments_schema(info.input_schema, form)
    output = schemas.tool_output(info.output_schema)
    return AgentTool(
        info=info,
        tool=types.Tool(
            name=info.name,
            title=info.title,
            description=info.description or info.title or info.name,
            input_schema=schemas.tool_input(arguments),
            output_schema=output,
            icons=icons_of(info),
            annotations=annotations_of(info),
        ),
        form=form,
        arguments=schemas.validator(arguments),
        result=schemas.validator(output),
        wrapped=schemas.is_wrapped(info.output_schema),
        takes_thread=schemas.takes_thread(output),
    )


class Toolbox:
    """The tools that the hub offers now: its agents, then the built-in ones."""

    def __init__(self, agents: Agents, built_in: Sequence[types.Tool]) -> None:
        self.agents = agents
        self.built_in = {tool.name: tool for tool in sorted(built_in, key=lambda tool: tool.name)}
        self._version = -1
        self._tools: dict[str, AgentTool] = {}

    def listed(self, only: str | None, *, with_tasks: bool = False) -> list[types.Tool]:
        """What a client sees: all agents, or `only` this one; `with_tasks` says which can be tasks, which
        the revision 2025-11-25 alone has a word for."""
        agents = [t for t in self._current().values() if only is None or t.info.name == only]
        tools = [_with_task(t) for t in agents] if with_tasks else [t.tool for t in agents]
        return [*tools, *self.built_in.values()]

    def key(self, tool: types.Tool) -> str:
        """What tools are in order of: the agents by name, then the built-in ones."""
        return f"{1 if tool.name in self.built_in else 0}{tool.name}"

    def agent(self, name: str) -> AgentTool | None:
        """The tool of an agent that can be served now."""
        return self._current().get(name)

    def of(self, name: str) -> AgentTool:
        """The tool of an agent, or a plain one when the agent is no longer there."""
        return self.agent(name) or agent_tool(AgentInfo(name=name, description=""))

    def input_schema(self, name: str) -> Mapping[str, object] | None:
        """A tool's input schema, for the SDK's check of headers."""
        if name in self.built_in:
            return self.built_in[name].input_schema
        found = self.agent(name)
        return None if found is None else found.tool.input_schema

    def _current(self) -> dict[str, AgentTool]:
        version = self.agents.version
        if version != self._version:
            # One at a time: an agent whose schemas are beyond us must not take the others along.
            self._tools = {
                info.name: made
                for info in self.agents.all()
                if info.name not in self.built_in and (made := _made(info)) is not None
            }
            self._version = version
        return self._tools


def _with_task(tool: AgentTool) -> types.Tool:
    execution = types.ToolExecution(task_support=tool.info.task)
    return tool.tool.model_copy(update={"execution": execution})


def _made(info: AgentInfo) -> AgentTool | None:
    try:
        return agent_tool(info)
    except Exception:
        log.exception("agent %r cannot be offered as a tool", info.name)
        return None


def object_schema(required: Sequence[str], **properties: JsonObject) -> JsonObject:
    """An input schema with these properties."""
    return {"type": "object", "properties": properties, "required": list(required)}
