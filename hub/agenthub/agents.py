"""Agents: what is deployed, as JSON that a worker publishes and the surfaces read.

The server never imports agent code: names, schemas, skills and the drawable graph all come from
`AgentInfo`. Naming follows the strictest client (MCP hosts: `[A-Za-z0-9_-]`, 40 characters).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, TypeAlias
from uuid import UUID

from agenthub.errors import Invalid
from agenthub.ids import assistant_id
from agenthub.json import Json, JsonObject

NAME_LENGTH = 40
TaskSupport: TypeAlias = Literal["forbidden", "optional", "required"]
CARD_KEYS = frozenset(
    {
        "skills", "examples", "input_modes", "output_modes",
        "provider", "icon_url", "documentation_url", "version", "extended", "reply",
    }
)  # fmt: skip
ANNOTATION_KEYS = frozenset({"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """A deployed agent. Schemas are JSON Schema 2020-12; `output_keys` are the state keys that
    make up its output, or None when the whole value is the output. `drawing_inside` shows the insides
    of subgraphs, too; `subgraphs` maps their namespaces to their schemas. `card` is what the declaration
    says for directories, with the keys of `CARD_KEYS` (`reply`: whether A2A clients are answered with a
    `task`, or with a message where the agent gives one first, `auto`), and `annotations` how the agent
    behaves, with the keys of `ANNOTATION_KEYS`. `prompts` are texts for users to begin with: `{"name",
    "text", "title", "description", "arguments": [{"name", "title", "description", "required"}]}`, with the
    arguments in braces in the text."""

    name: str
    description: str
    title: str | None = None
    input_schema: JsonObject = field(default_factory=dict[str, Json])
    output_schema: JsonObject = field(default_factory=dict[str, Json])
    state_schema: JsonObject | None = None
    config_schema: JsonObject | None = None
    context_schema: JsonObject | None = None
    output_keys: tuple[str, ...] | None = None
    drawing: JsonObject = field(default_factory=dict[str, Json])
    drawing_inside: JsonObject = field(default_factory=dict[str, Json])
    subgraphs: JsonObject = field(default_factory=dict[str, Json])
    environment: str = "default"
    code_version: str = ""
    skills: tuple[JsonObject, ...] = ()
    card: JsonObject = field(default_factory=dict[str, Json])
    annotations: JsonObject = field(default_factory=dict[str, Json])
    prompts: tuple[JsonObject, ...] = ()
    task: TaskSupport = "optional"

    @property
    def assistant_id(self) -> UUID:
        """The id of the agent's system assistant."""
        return assistant_id(self.name)

    def to_json(self) -> JsonObject:
        """As published to the catalogue."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: JsonObject) -> AgentInfo:
        """Read a publication; fields that a newer worker added are ignored (rolling upgrades)."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in body.items() if k in known}
        for name in ("output_keys", "skills", "prompts"):
            if kept.get(name) is not None:
                kept[name] = tuple(kept[name])
        return cls(**kept)

    def output(self, values: Json) -> Json:
        """The agent's output, cut from its final state values."""
        if self.output_keys is None or not isinstance(values, dict):
            return values
        state: JsonObject = values  # pyright: ignore[reportUnknownVariableType]
        return {k: state[k] for k in self.output_keys if k in state}


def slug(name: str) -> str:
    """A name that every surface accepts.

    Raises:
        Invalid: nothing of the name is left.
    """
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:NAME_LENGTH].rstrip("-")
    if not cleaned:
        raise Invalid(f"{name!r} cannot be made into an agent name: use letters, digits, _ and -")
    return cleaned


def resolved(schema: JsonObject) -> JsonObject:
    """A schema whose root is a reference into its own `$defs`, with that definition in its place."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    definitions: JsonObject = schema.get("$defs") or {}
    definition: JsonObject = definitions.get(reference.removeprefix("#/$defs/")) or {}
    return {**definition, "$defs": definitions}


def _takes_text(schema: JsonObject) -> bool:
    """Whether a field may hold a string; one that refers to a definition holds an object."""
    choices: list[JsonObject] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return any("$ref" not in one and one.get("type", "string") == "string" for one in choices)


def text_input(info: AgentInfo, text: str) -> Json:
    """The input that a plain text message stands for.

    A state with `messages` gets a user message; a string schema, or none, gets the text; an object
    with a single string field gets it there.

    Raises:
        Invalid: the agent wants structured input.
    """
    schema = resolved(info.input_schema)
    properties: JsonObject = schema.get("properties") or {}
    if "messages" in properties:
        return {"messages": [{"role": "user", "content": text}]}
    kind = schema.get("type")
    if kind == "string" or (kind is None and not properties):
        return text
    required: list[str] = schema.get("required") or list(properties)
    if len(required) == 1 and _takes_text(properties.get(required[0]) or {}):
        return {required[0]: text}
    raise Invalid(
        f"agent {info.name!r} takes structured input: send a JSON object with "
        f"{', '.join(sorted(properties)) or 'its fields'}"
    )
