"""Agent cards: what the catalogue knows of an agent, as a strict A2A 1.0 card, and as one of 0.3.

The schema of 1.0 forbids additional properties, and clients of 0.3 need some, so a card that both can
read fits no schema: it is made only where an owner asks for it. REQUIRED fields are never empty, because
signers and validators disagree about how to treat those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from a2a.compat.v0_3.conversions import to_compat_agent_card
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentProvider,
    AgentSkill,
)
from a2a.utils.constants import (
    PROTOCOL_VERSION_0_3,
    PROTOCOL_VERSION_1_0,
    TransportProtocol,
)
from a2a.utils.errors import ExtensionSupportRequiredError
from a2a.utils.proto_utils import parse_lenient
from google.protobuf.json_format import MessageToDict

from agenthub.agents import AgentInfo
from agenthub.json import JsonObject
from agenthub_a2a.parts import MODES
from agenthub_a2a.signatures import CardSigner

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent is reached: over HTTP under `base_url`; over gRPC, when that is on, at the address
    `grpc` (`host:port`), which leads to the agent without a tenant when it is the `default`."""

    base_url: str
    grpc: str | None = None
    default: bool = False


def agent_card(info: AgentInfo, place: Place, version: str = PROTOCOL_VERSION_1_0) -> AgentCard:
    """The card of an agent, over interfaces of `version`."""
    declared = info.card
    card = AgentCard(
        name=info.title or info.name,
        description=_described(info),
        version=declared.get("version") or info.code_version or "0",
        supported_interfaces=[
            AgentInterface(
                url=f"{place.base_url}{agent_path(info.name)}",
                protocol_binding=binding.value,
                protocol_version=version,
            )
            for binding in (TransportProtocol.JSONRPC, TransportProtocol.HTTP_JSON)
        ],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extended_agent_card="extended" in declared,
            extensions=EXTENSIONS,
        ),
        default_input_modes=declared.get("input_modes") or MODES,
        default_output_modes=declared.get("output_modes") or MODES,
        skills=[_skill(info, skill) for skill in info.skills or declared.get("skills") or ({},)],
    )
    # 0.3 has no tenants
    if place.grpc is not None and (place.default or version != PROTOCOL_VERSION_0_3):
        card.supported_interfaces.add(
            url=place.grpc,
            protocol_binding=TransportProtocol.GRPC.value,
            protocol_version=version,
            tenant="" if version == PROTOCOL_VERSION_0_3 else info.name,
        )
    if "provider" in declared:
        card.provider.CopyFrom(AgentProvider(**declared["provider"]))
    for name in ("icon_url", "documentation_url"):
        if name in declared:
            setattr(card, name, declared[name])
    return card


def extended_card(
    info: AgentInfo, place: Place, version: str = PROTOCOL_VERSION_1_0
) -> AgentCard | None:
    """The card with what the declaration keeps for those who ask for more; None where it keeps nothing."""
    if "extended" not in info.card:
        return None
    extended = info.card["extended"]
    card = agent_card(info, place, version)
    card.description = extended.get("description") or card.description
    card.skills.extend(_skill(info, skill) for skill in extended.get("skills") or ())
    return card


def card_1_0(info: AgentInfo, place: Place, signer: CardSigner | None = None) -> JsonObject:
    """The card as 1.0 has it, signed exactly as it is."""
    card = agent_card(info, place)
    if signer is not None:
        signer.sign(card, place.base_url)
    return MessageToDict(card)


def card_0_3(info: AgentInfo, place: Place) -> JsonObject:
    """The card as clients of 0.3 read it."""
    converted = to_compat_agent_card(agent_card(info, place, PROTOCOL_VERSION_0_3))
    return converted.model_dump(mode="json", by_alias=True, exclude_none=True)


def card_merged(info: AgentInfo, place: Place) -> JsonObject:
    """A card that clients of both generations read."""
    return {**card_0_3(info, place), **card_1_0(info, place)}


def agent_path(name: str) -> str:
    """Where an agent is: JSON-RPC at this very address, HTTP+JSON below it."""
    return f"/agents/{name}/a2a"


def card_path(name: str) -> str:
    """Where the card of an agent is."""
    return f"/agents/{name}/.well-known/agent-card.json"


def old_card_path(name: str) -> str:
    """Where the card for clients of 0.3 is, whatever the policy."""
    return f"/agents/{name}/v0.3/.well-known/agent-card.json"


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
    if not (skill.examples or info.skills or info.card.get("skills")):
        # what is declared for the agent as a whole belongs to the one skill that it has
        skill.examples.extend(info.card.get("examples") or ())
    return skill


def _described(info: AgentInfo) -> str:
    return info.description.strip() or f"The agent {info.title or info.name}."
