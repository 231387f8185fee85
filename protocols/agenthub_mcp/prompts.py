"""Prompts: the texts that agents declare, for users to pick in their host.

A prompt goes by the name that its agent gave it; two agents' prompts of one name go by the agent's name, a
dot, and their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mcp_types as types

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import Invalid, NotFound
from agenthub.json import Json, JsonObject
from agenthub_mcp.extras import icons_of

_ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class AgentPrompt:
    """A prompt under the name that clients know it by."""

    prompt: types.Prompt
    text: str


class Prompts:
    """The prompts that the hub offers now; made once for each version of the catalogue."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self._version = -1
        self._prompts: dict[str, tuple[str, AgentPrompt]] = {}

    def listed(self, only: str | None) -> Sequence[types.Prompt]:
        """All prompts, or those of this agent, by name."""
        return [made.prompt for agent, made in self._current().values() if only in (None, agent)]

    def get(
        self, only: str | None, name: str, arguments: Mapping[str, str]
    ) -> types.GetPromptResult:
        """A prompt with its arguments filled in; those that are not given are empty.

        Raises:
            NotFound: there is no such prompt.
            Invalid: an argument is missing, or is none of the prompt's.
        """
        agent, made = self._current().get(name, ("", None))
        if made is None or only not in (None, agent):
            raise NotFound(f"there is no prompt {name[:60]!r}")
        declared = {a.name: bool(a.required) for a in made.prompt.arguments or ()}
        missing = sorted(a for a, required in declared.items() if required and a not in arguments)
        unknown = sorted(arguments.keys() - declared.keys())
        if missing or unknown:
            raise Invalid(
                f"the prompt {name!r} "
                + (f"needs {', '.join(missing)}" if missing else f"has no {', '.join(unknown)}")
            )

        def filled(match: re.Match[str]) -> str:
            # braces around anything else are the text's own
            return arguments.get(match[1], "") if match[1] in declared else match[0]

        text = _ARGUMENT.sub(filled, made.text)
        content = types.TextContent(type="text", text=text)
        return types.GetPromptResult(
            description=made.prompt.description,
            messages=[types.PromptMessage(role="user", content=content)],
        )

    def _current(self) -> dict[str, tuple[str, AgentPrompt]]:
        version = self.agents.version
        if version != self._version:
            declared = [(info, p) for info in self.agents.all() for p in info.prompts]
            names = Counter(str(p["name"]) for _, p in declared)
            made = [
                (name if names[name] == 1 else f"{info.name}.{name}", info, prompt)
                for info, prompt in declared
                for name in [str(prompt["name"])]
            ]
            self._prompts = {
                name: (info.name, _made(name, info, prompt))
                for name, info, prompt in sorted(made, key=lambda one: one[0])
            }
            self._version = version
        return self._prompts


def _made(name: str, info: AgentInfo, prompt: JsonObject) -> AgentPrompt:
    arguments: list[Json] = prompt.get("arguments") or []
    return AgentPrompt(
        types.Prompt(
            name=name,
            title=prompt.get("title"),
            description=prompt.get("description"),
            arguments=[
                types.PromptArgument(
                    name=a["name"],
                    title=a.get("title"),
                    description=a.get("description"),
                    required=a.get("required", False),
                )
                for a in arguments
            ],
            icons=icons_of(info),
        ),
        prompt["text"],
    )
