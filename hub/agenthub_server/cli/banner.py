"""What `agenthub dev` prints: where things are, and what to paste into clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agenthub.agents import AgentInfo
from agenthub.config import Config


def base_url(config: Config) -> str:
    """The hub's address as a browser on this machine types it."""
    if config.public_url:
        return config.public_url.rstrip("/")
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104
    return f"http://{host}:{config.port}"


def text(
    config: Config,
    agents: Sequence[AgentInfo],
    unavailable: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """The whole banner."""
    url = base_url(config)
    lines = ["", f"Agent Hub on {url}", ""]
    lines += [f"  {agent.name:20} {agent.description.splitlines()[0]}" for agent in agents]
    lines += [f"  {name:20} NOT AVAILABLE: {reason}" for name, reason in unavailable.items()]
    first = agents[0].name if agents else "AGENT"
    lines += [
        "",
        f"  MCP    {url}/mcp",
        f"  A2A    {url}/agents/{first}/.well-known/agent-card.json",
        f'  REST   langgraph_sdk.get_client(url="{url}")',
        "",
        f"  Settings to paste into MCP clients: agenthub mcp --settings --url {url}",
        "",
        *(f"  {note}" for note in notes),
        "  Ctrl-C stops everything; data stays in .agenthub/.",
        "",
    ]
    return "\n".join(lines)
