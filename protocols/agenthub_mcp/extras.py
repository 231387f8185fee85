"""Extras: what an agent's declaration says for hosts that show tools: icons, and how it behaves."""

from __future__ import annotations

from typing import Final

import mcp_types as types

from agenthub.agents import AgentInfo

HINTS: Final = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


def icons_of(info: AgentInfo) -> list[types.Icon] | None:
    """The icon of an agent's card."""
    url = info.card.get("icon_url")
    return [types.Icon(src=url)] if isinstance(url, str) else None


def annotations_of(info: AgentInfo) -> types.ToolAnnotations | None:
    """The declared hints; none are made up."""
    hints = {key: info.annotations[key] for key in HINTS if key in info.annotations}
    return types.ToolAnnotations.model_validate(hints) if hints else None
