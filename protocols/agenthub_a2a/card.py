"""Agent cards: what the catalogue knows of an agent, as a strict A2A 1.0 card.

No field of 0.3 is merged in: the schema of 1.0 forbids additional properties. REQUIRED fields are never
empty, because signers and validators disagree about how to treat those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
)
from a2a.utils.constants import PROTOCOL_VERSION_1_0, TransportProtocol
from a2a.utils.errors import ExtensionSupportRequiredError
from a2a.utils.proto_utils import parse_lenient
from google.protobuf.json_format import MessageToDict

from agenthub.agents import AgentInfo
from agenthub.json import JsonObject, dumps
from agenthub_a2a.parts import MODES

GENERATION: Final = "https://agenthub.dev/ext/generation"
"""URI of our extension, and the metadata key under which it travels."""
EXTENSIONS: Final = (
    AgentExtension(
        uri=GENERATION,
        description="Tasks and stream events carry, in their metadata under this URI, the number of "
        "the task's latest event that they include. It only ever grows.",
        required=False,
    ),
)


def agent_card(info: AgentInfo, base_url: str) -> AgentCard:
    """The card of an agent that is reached under `base_url`."""
    return AgentCard(
        name=info.title or info.name,
        description=_described(info),
        version=info.code_version or "0",
        supported_interfaces=[
            AgentInterface(
                url=f"{base_url}{agent_path(info.name)}",
                protocol_binding=TransportProtocol.JSONRPC.value,
                protocol_version=PROTOCOL_VERSION_1_0,
            )
        ],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=False,
            extended_agent_card=False,
            extensions=EXTENSIONS,
        ),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=[_skill(info, skill) for skill in info.skills or ({},)],
    )


def agent_path(name: str) -> str:
    """Where the JSON-RPC interface of an agent is."""
    return f"/agents/{name}/a2a"


def card_path(name: str) -> str:
    """Where the card of an agent is."""
    return f"/agents/{name}/.well-known/agent-card.json"


def rendered(card: AgentCard) -> tuple[bytes, str]:
    """The card as JSON, with its entity tag."""
    body = dumps(MessageToDict(card))
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def require(extensions: Iterable[AgentExtension], requested: set[str]) -> None:
    """Insist on the extensions that are required; the SDK never does.

    Raises:
        ExtensionSupportRequiredError: the client did not declare one of them.
    """
    for extension in extensions:
        if extension.required and extension.uri not in requested:
            raise ExtensionSupportRequiredError(
                f"this agent requires the extension {extension.uri!r}: declare it in A2A-Extensions"
            )


def _skill(info: AgentInfo, published: JsonObject) -> AgentSkill:
    skill = parse_lenient(published, AgentSkill())
    skill.id = skill.id or info.name
    skill.name = skill.name or info.title or info.name
    skill.description = skill.description or _described(info)
    if not skill.tags:
        skill.tags.append("agent")
    return skill


def _described(info: AgentInfo) -> str:
    return info.description.strip() or f"The agent {info.title or info.name}."
